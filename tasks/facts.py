"""What pyinfra can't ask yet. No fact here fails: what can't be known is an empty answer.

pyinfra prints a fact's arguments with -v, so none of them is a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyinfra.api import FactBase, QuoteString, StringCommand

from . import locks
from .settings import CONFIGURATION, ENVIRONMENT

AS_AIRFLOW = f"{ENVIRONMENT}/bin/as-airflow"
PROBE = f"{AS_AIRFLOW} python {ENVIRONMENT}/lib/airflow_probe.py"


def shell(*bits: object) -> StringCommand:
    """Join bits of a command without spaces between them."""
    return StringCommand(*bits, _separator="")


@dataclass(frozen=True)
class Digest:
    """A file without its contents."""

    sha256: str
    user: str
    group: str
    mode: str


class FileDigest(FactBase[Digest | None]):
    """Owner, mode and checksum of a file; None when there is none."""

    @staticmethod
    def default() -> Digest | None:
        return None

    def command(self, path: str) -> StringCommand:
        quoted = QuoteString(path)
        return StringCommand(
            "stat -c '%U %G %a'", quoted, "2>/dev/null && sha256sum <", quoted, "|| true"
        )

    def process(self, output: list[str]) -> Digest | None:
        if len(output) < 2:
            return None
        user, group, mode = output[0].split()
        return Digest(output[1].split()[0], user, group, mode)


@dataclass(frozen=True)
class Apt:
    """Which packages there are, and whether apt's lists are of today."""

    installed: frozenset[str]
    fresh: bool


APT_STAMP = "/var/lib/apt/periodic/update-success-stamp"
"""What Debian's own timers touch after an update, and pyinfra too."""


class AptPackages(FactBase[Apt]):
    """Which of ``packages`` are installed."""

    @staticmethod
    def default() -> Apt:
        return Apt(frozenset(), False)

    def command(self, packages: list[str]) -> StringCommand:
        return StringCommand(
            "dpkg-query -W -f '${db:Status-Status} ${Package}\\n'",
            *map(QuoteString, packages),
            f"2>/dev/null; find {APT_STAMP} -mmin -1440 2>/dev/null || true",
        )

    def process(self, output: list[str]) -> Apt:
        pairs = (line.partition(" ") for line in output)
        installed = frozenset(name for state, _, name in pairs if state == "installed")
        return Apt(installed, APT_STAMP in output)


@dataclass(frozen=True)
class Installed:
    """A Python environment on the host."""

    complete: bool
    distributions: dict[str, str]
    frozen: dict[str, str]
    """What constraints made of it, where it was made by constraints."""


class PythonEnvironment(FactBase[Installed | None]):
    """The distributions in the environment at ``path``, read from file names alone."""

    @staticmethod
    def default() -> Installed | None:
        return None

    def command(self, path: str) -> StringCommand:
        return StringCommand(
            "cd", QuoteString(path), "2>/dev/null && { ls -d .complete bin/python",
            "lib/python*/site-packages/*.dist-info lib/python*/site-packages/*.egg-info;",
            "cat .frozen; } 2>/dev/null || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> Installed | None:
        if not output:
            return None
        complete = {".complete", "bin/python"}.issubset(output)
        entries = [line for line in output if line.endswith("-info")]
        frozen = locks.parse("\n".join(line for line in output if "==" in line), ())
        return Installed(complete, locks.installed(entries), frozen)


@dataclass(frozen=True)
class Unit:
    """A systemd unit, and whether what it reads is newer than its process."""

    active: bool
    """It runs, or systemd is about to start it again after a crash."""
    enabled: bool
    reload: bool
    """systemd has an older text of the unit than the disk."""
    newer: tuple[str, ...]
    """Files that changed after the unit started."""
    digests: Mapping[str, str]
    """Checksums of the files that it reads."""
    drop_ins: tuple[str, ...] = ()
    """Files of an administrator that change it."""


class UnitState(FactBase[Unit]):
    """State of ``unit``, and which of ``reads`` are newer than ``started``, a file of its start."""

    @staticmethod
    def default() -> Unit:
        return Unit(False, False, False, (), {})

    def command(self, unit: str, started: str, reads: list[str]) -> StringCommand:
        paths = [QuoteString(path) for path in reads]
        return StringCommand(
            "systemctl show -p ActiveState -p UnitFileState -p NeedDaemonReload -p DropInPaths",
            QuoteString(unit),
            "2>/dev/null; find",
            *paths,
            "-maxdepth 0 -newer",
            QuoteString(started),
            "2>/dev/null; sha256sum",
            *paths,
            "2>/dev/null || true",
        )

    def process(self, output: list[str]) -> Unit:
        sums = [line.split("  ", 1) for line in output if "  /" in line]
        added = [line.partition("=")[2] for line in output if line.startswith("DropInPaths=")]
        return Unit(
            active=not {"ActiveState=active", "ActiveState=activating"}.isdisjoint(output),
            enabled="UnitFileState=enabled" in output,
            reload="NeedDaemonReload=yes" in output,
            newer=tuple(line for line in output if line.startswith("/")),
            digests={path: digest for digest, path in sums},
            drop_ins=tuple(p for line in added for p in line.split() if p.startswith("/etc/")),
        )


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL cluster of Debian's."""

    version: str
    name: str


class Clusters(FactBase[list[Cluster]]):
    """The host's PostgreSQL clusters, the newest version last."""

    default = list

    def command(self) -> str:
        return "pg_lsclusters -h 2>/dev/null || true"

    def process(self, output: list[str]) -> list[Cluster]:
        rows = [line.split() for line in output if line.strip()]
        clusters = [Cluster(version=row[0], name=row[1]) for row in rows]
        return sorted(clusters, key=lambda cluster: int(cluster.version.partition(".")[0]))


class Sql(FactBase[list[dict[str, Any]] | None]):
    """Rows of a query to the newest cluster ``main``; None when that does not answer.

    Without PostgreSQL there are no rows.
    """

    default = list

    def command(self, query: str) -> StringCommand:
        rows = f"SELECT coalesce(json_agg(t), '[]') FROM ({query}) t"
        return StringCommand(
            PSQL,
            "-c",
            QuoteString(rows),
            "2>/dev/null || if test -d /etc/postgresql; then echo null; else echo '[]'; fi",
        )

    def process(self, output: list[str]) -> list[dict[str, Any]] | None:
        rows: list[dict[str, Any]] | None = json.loads("\n".join(output))
        return rows


# Debian's psql takes the newest cluster's port by itself.
PSQL = "cd / && runuser -u postgres -- psql -XqAt -v ON_ERROR_STOP=1 -d postgres"


class AccessRulesStale(FactBase[bool]):
    """Whether pg_hba.conf at ``path`` is newer than the running cluster's last look at it."""

    default = bool

    def command(self, path: str) -> StringCommand:
        return StringCommand(
            'loaded=$(cd / && runuser -u postgres -- psql -XqAtc "select pg_conf_load_time()"',
            '2>/dev/null) && test -n "$(find',
            QuoteString(path),
            '-newermt "$loaded" 2>/dev/null)" && echo stale || true',
        )

    def process(self, output: list[str]) -> bool:
        return output == ["stale"]


class RabbitmqDefinitions(FactBase[dict[str, Any] | None]):
    """Users, virtual hosts and permissions of the broker; None when that does not answer.

    Without RabbitMQ there are none.
    """

    default = dict

    def command(self) -> str:
        return (
            "if command -v rabbitmqctl >/dev/null; then rabbitmqctl -q export_definitions -"
            " --format json 2>/dev/null </dev/null || echo null; else echo '{}'; fi"
        )

    def process(self, output: list[str]) -> dict[str, Any] | None:
        definitions: dict[str, Any] | None = json.loads("\n".join(output))
        return definitions


class RabbitmqNodes(FactBase[list[str]]):
    """Names of the Erlang nodes that have data on this host."""

    default = list

    def command(self) -> str:
        return "ls -d /var/lib/rabbitmq/mnesia/*@*/ 2>/dev/null || true"

    def process(self, output: list[str]) -> list[str]:
        names = [line.rstrip("/").rsplit("/", 1)[-1] for line in output]
        return [name for name in names if not name.endswith("-plugins-expand")]


class FirewallTable(FactBase[bool]):
    """Whether our table of nftables is loaded."""

    default = bool

    def command(self) -> str:
        return "nft list table inet pyinfra_airflow >/dev/null 2>&1 && echo loaded || true"

    def process(self, output: list[str]) -> bool:
        return output == ["loaded"]


class OwnName(FactBase[list[str]]):
    """The host's own name and, where it resolves, the line that it resolves to."""

    default = list

    def command(self) -> str:
        return 'hostname && getent hosts "$(hostname)" || true'


class ProbeAnswer(FactBase[str]):
    """The word that ``airflow_probe.py`` says; empty before Airflow is installed.

    It is unknown, too, where somebody took away what the probe needs.
    """

    default = str

    def command(self, words: list[str]) -> StringCommand:
        return StringCommand(
            f"if ls {CONFIGURATION}/*.env >/dev/null 2>&1; then answer=$({PROBE}",
            *map(QuoteString, words),
            '2>/dev/null); echo "${answer:-unknown}"; fi',
        )

    def process(self, output: list[str]) -> str:
        return output[-1] if output else ""


class FolderDigests(FactBase[dict[str, str]]):
    """Checksum of every file below ``path`` by its path in there; dot files of ours left out."""

    default = dict

    def command(self, path: str) -> StringCommand:
        return StringCommand(
            "cd", QuoteString(path), "2>/dev/null && find . -type f ! -name '*.pyc'",
            "-exec sha256sum {} + || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, str]:
        pairs = (line.split("  ", 1) for line in output)
        return {name.removeprefix("./"): digest for digest, name in pairs}
