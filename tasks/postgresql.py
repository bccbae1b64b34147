"""PostgreSQL: the server, who may come in, and Airflow's role and database."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.operation import OperationMeta
from pyinfra.facts.files import FileContents

from .deploys import deploy
from .facts import PSQL, AccessRulesStale, Cluster, Clusters, Sql
from .operations import (
    Commands,
    can_not_be_asked,
    running,
    text_file,
    will_have_changed,
    with_block,
)
from .passwords import scram_matches, scram_verifier
from .resources import template
from .settings import Settings
from .system import packages


@deploy("PostgreSQL")
def deploy_postgresql(settings: Settings | None = None) -> None:
    """Install PostgreSQL with a role and a database for Airflow; works alone."""
    settings = Settings.of(host, settings)
    packages(name="Install the server", packages=["postgresql"])
    text = template("postgresql.conf", settings=settings, listen=listen(settings))
    cluster_settings(name="Configure the server", text=text)
    opened = cluster_access(name="Configure who may connect", lines=hba_lines(settings))
    cluster_running(name="Run the server", text=text, opened=opened)
    _role_and_database(settings, "")
    if settings.release.results_apart:
        _role_and_database(settings, "results_")


def _role_and_database(settings: Settings, part: str) -> None:
    user = getattr(settings, f"postgresql_{part}user")
    name = getattr(settings, f"postgresql_{part}database")
    role(
        name=f"Create the role {user}",
        role=user,
        password=settings.secret(f"postgresql_{part}password"),
        superuser=settings.postgresql_superuser,
    )
    database(name=f"Create the database {name}", database=name, owner=user)


def listen(settings: Settings) -> str:
    """Give ``listen_addresses``: loopback, and the host's address where others need it."""
    if settings.postgresql_listen_addresses is not None:
        return settings.postgresql_listen_addresses
    others = settings.topology.hosts or settings.postgresql_allow
    return f"localhost,{settings.topology.address}" if others else "localhost"


def hba_lines(settings: Settings) -> list[str]:
    """Give one line of pg_hba.conf for each network and each database that it may use."""
    here, topology = ("127.0.0.1", "::1"), settings.topology
    lines = _lines(settings, "", (*here, *topology.database_hosts, *settings.postgresql_allow))
    if settings.release.results_apart:
        lines += _lines(settings, "results_", (*here, *topology.hosts))
    return lines


def _lines(settings: Settings, part: str, addresses: Sequence[str]) -> list[str]:
    name = getattr(settings, f"postgresql_{part}database")
    user = getattr(settings, f"postgresql_{part}user")
    networks = map(_network, addresses)
    return [f"host {name} {user} {network} {settings.postgresql_auth}" for network in networks]


def _network(address: str) -> str:
    """Write an address as pg_hba.conf wants it; a name stands as it is."""
    try:
        return str(ipaddress.ip_network(address, strict=False))
    except ValueError:
        return address


def main_cluster() -> Cluster | None:
    """Find the newest cluster ``main``; there is none before PostgreSQL is installed."""
    clusters = [cluster for cluster in host.get_fact(Clusters) if cluster.name == "main"]
    return clusters[-1] if clusters else None


@operation()
def cluster_settings(text: str) -> Commands:
    """Give the cluster our settings."""
    yield from _cluster_file("conf.d/50-airflow.conf", lambda have: text)


@operation()
def cluster_access(lines: Sequence[str]) -> Commands:
    """Put our lines of pg_hba.conf before anybody else's."""
    yield from _cluster_file("pg_hba.conf", lambda have: "\n".join(with_block(have, lines)) + "\n")


def _cluster_file(name: str, text: Callable[[list[str]], str]) -> Commands:
    cluster = main_cluster()
    if cluster is None:
        yield "echo 'PostgreSQL has no cluster main' >&2; false"
        return
    path = f"/etc/postgresql/{cluster.version}/main/{name}"
    have = host.get_fact(FileContents, path=path) or []
    yield from text_file._inner(
        path=path, text=text(have), user="postgres", group="postgres", mode="640"
    )


@operation()
def cluster_running(text: str, *, opened: OperationMeta) -> Commands:
    """Run the cluster, restarted for newer settings and reloaded for newer access rules.

    ``text`` are the settings, and ``opened`` is the step that writes the rules.
    """
    cluster = main_cluster()
    version = cluster.version if cluster else "0"
    folder = f"/etc/postgresql/{version}/main"
    unit = f"postgresql@{version}-main.service" if cluster else "postgresql.service"
    commands = list(
        running._inner(
            unit=unit,
            started=f"/var/lib/postgresql/{version}/main/postmaster.pid",
            reads={f"{folder}/conf.d/50-airflow.conf": text, f"{folder}/postgresql.conf": None},
        )
    )
    stale = host.get_fact(AccessRulesStale, path=f"{folder}/pg_hba.conf")
    if not commands and (stale or will_have_changed([opened])):
        commands = [f"systemctl reload {unit}"]
    yield from commands


_RIGHTS = {
    "rolcanlogin": True,
    "rolsuper": False,
    "rolcreatedb": False,
    "rolcreaterole": False,
    "rolreplication": False,
    "rolbypassrls": False,
}


_KEYWORDS = {
    "rolcanlogin": "LOGIN",
    "rolsuper": "SUPERUSER",
    "rolcreatedb": "CREATEDB",
    "rolcreaterole": "CREATEROLE",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}


@operation()
def role(role: str, password: str, *, superuser: bool = False) -> Commands:
    """Bring a role to a login with this password and no other rights, demotion included."""
    flags = {**_RIGHTS, "rolsuper": superuser}
    rows = host.get_fact(
        Sql,
        query=f"SELECT {', '.join(flags)}, split_part(rolpassword, '$', 2) AS salt,"
        " encode(sha256(rolpassword::bytea), 'hex') AS digest"
        f" FROM pg_authid WHERE rolname = '{role}'",
    )
    have = rows[0] if rows else {}
    same = all(have.get(flag) == value for flag, value in flags.items())
    if same and scram_matches(have["salt"], have["digest"], password):
        host.noop(f"role {role} is as it should be")
        return
    if can_not_be_asked(rows):
        host.noop("PostgreSQL does not answer")
        return
    words = " ".join(("" if flags[flag] else "NO") + _KEYWORDS[flag] for flag in flags)
    verb = "ALTER" if have else "CREATE"
    yield _sql(f"{verb} ROLE \"{role}\" {words} PASSWORD '{scram_verifier(password)}';")


@operation()
def database(database: str, owner: str) -> Commands:
    """Make a database in UTF8, or give an existing one to its owner."""
    rows = host.get_fact(
        Sql,
        query="SELECT pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding"
        f" FROM pg_database WHERE datname = '{database}'",
    )
    if can_not_be_asked(rows):
        host.noop("PostgreSQL does not answer")
    elif not rows:
        yield _sql(
            f'CREATE DATABASE "{database}" OWNER "{owner}" ENCODING \'UTF8\' TEMPLATE template0;'
        )
    elif rows[0]["encoding"] != "UTF8":
        yield f"echo 'database {database} has encoding {rows[0]['encoding']}, not UTF8' >&2; false"
    elif rows[0]["owner"] != owner:
        yield _sql(f'ALTER DATABASE "{database}" OWNER TO "{owner}";')
    else:
        host.noop(f"database {database} is as it should be")


def _sql(statement: str) -> StringCommand:
    return StringCommand(PSQL, "-f -", _stdin=statement)
