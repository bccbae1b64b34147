"""Debian's PostgreSQL cluster: its configuration files and access rules."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyinfra import host
from pyinfra.api import FactBase, QuoteString, StringCommand, operation

from ..host.blocks import block, with_block
from ..host.files import File, written
from ..host.found import STAT, Found, marked, read_found
from ..host.look import look
from ..host.steps import Commands
from ..settings import Database, Settings
from .tls import certificate_files


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL cluster of Debian's, with its files below ``folder``."""

    version: str
    rules: tuple[str, ...]
    """Lines of its pg_hba.conf."""
    rules_changed: float
    """Seconds since 1970."""
    files: Mapping[str, Found]

    @property
    def folder(self) -> str:
        return f"/etc/postgresql/{self.version}/main"


class MainCluster(FactBase[Cluster | None]):
    """The newest PostgreSQL cluster ``main``, with ``files`` of its folder; None without any."""

    @staticmethod
    def default() -> Cluster | None:
        return None

    def command(self, files: tuple[str, ...]) -> StringCommand:
        quoted = [QuoteString(path) for path in files]
        return StringCommand(
            "cd /etc/postgresql 2>/dev/null || exit 0;",
            "main=$(ls */main/postgresql.conf 2>/dev/null | sort -V | tail -n 1);",
            'cd "$(dirname "${main:-none/none}")" 2>/dev/null || exit 0; echo "${main%%/*}";',
            "stat -L -c %.Y pg_hba.conf 2>/dev/null || echo 0;",
            f"stat -L -c '{STAT}'", *quoted, "2>/dev/null; sha256sum", *quoted, "2>/dev/null;",
            marked(files), "; echo ---; cat pg_hba.conf 2>/dev/null || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> Cluster | None:
        version, changed, *rest = output
        end = rest.index("---")
        return Cluster(version, tuple(rest[end + 1 :]), float(changed), read_found(rest[:end]))


PSQL = "cd / && runuser -u postgres -- psql -XqAt -v ON_ERROR_STOP=1 -d postgres"
"""Debian's psql takes the newest cluster's port by itself."""


def certificate(settings: Settings) -> dict[str, File]:
    """Return certificate and key of the server, where it has TLS."""
    return certificate_files(settings, "postgresql", "/etc/postgresql", "postgres")


def rules(settings: Settings, database: Database, addresses: Sequence[str], how: str) -> list[str]:
    """Return the lines that let a database's own role into it, by the method ``how``."""
    networks = map(_network, addresses)
    kind = "hostssl" if settings.postgresql_tls else "host"
    return [f"{kind} {database.name} {database.user} {network} {how}" for network in networks]


def _network(address: str) -> str:
    """Return an address as pg_hba.conf needs it; a name is left as it is."""
    try:
        return str(ipaddress.ip_network(address, strict=False))
    except ValueError:
        return address


SETTINGS_FILE = "conf.d/50-airflow.conf"
RULES_FILE = "pg_hba.conf"
POOL_RULES = "/etc/pgbouncer/airflow_hba.conf"
"""The file that tells a PgBouncer of ours from another one."""

CLUSTER_FILES = (SETTINGS_FILE, RULES_FILE, POOL_RULES)


def main_cluster() -> Cluster | None:
    """Find the newest cluster ``main``; there is none before PostgreSQL is installed."""
    return look(MainCluster, files=CLUSTER_FILES)


@operation()
def cluster_settings(text: str) -> Commands:
    """Apply our settings to the cluster."""
    yield from _cluster_file(SETTINGS_FILE, lambda have: text)


@operation()
def cluster_access(lines: Sequence[str], *, keep: bool) -> Commands:
    """Put our lines first in pg_hba.conf, and ``keep`` our earlier ones."""

    def text(have: Sequence[str]) -> str:
        wanted = _added(block(have), lines) if keep else lines
        return "\n".join(with_block(have, wanted)) + "\n"

    yield from _cluster_file(RULES_FILE, text)


@operation()
def more_access(lines: Sequence[str]) -> Commands:
    """Add to our lines of pg_hba.conf those that are missing."""
    cluster = main_cluster()
    if cluster is None or set(lines) <= set(block(cluster.rules)):
        host.noop("everyone who needs access has it")
        return
    yield from _reloaded(cluster, _added(block(cluster.rules), lines))


@operation()
def less_access(lines: Sequence[str]) -> Commands:
    """Remove from our lines of pg_hba.conf those that are no longer wanted."""
    cluster = main_cluster()
    if cluster is None or set(block(cluster.rules)) <= set(lines):
        host.noop("no one has access who does not need it")
        return
    yield from _reloaded(cluster, lines)


def _added(have: Sequence[str], lines: Sequence[str]) -> Sequence[str]:
    """Add what is missing; where nothing is, their order stands, for none shadows another."""
    return have if set(lines) <= set(have) else list(dict.fromkeys([*lines, *have]))


def _reloaded(cluster: Cluster, lines: Sequence[str]) -> Commands:
    yield from _cluster_file(RULES_FILE, lambda have: "\n".join(with_block(have, lines)) + "\n")
    yield f"systemctl reload postgresql@{cluster.version}-main.service"


def _cluster_file(name: str, text: Callable[[Sequence[str]], str]) -> Commands:
    cluster = main_cluster()
    if cluster is None:
        yield "echo 'PostgreSQL has no cluster main' >&2; false"
        return
    wanted = File(
        text(cluster.rules),
        user="postgres",
        group="postgres",
        mode="640",
        partly=name == RULES_FILE,
    )
    yield from written(f"{cluster.folder}/{name}", wanted, cluster.files.get(name))
