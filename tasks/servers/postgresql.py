"""PostgreSQL: the server, its access rules, and Airflow's role and database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyinfra import host, logger
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from ..before.guard import guard_alone
from ..catalog import servers
from ..catalog.servers import POSTGRESQL
from ..deploys import deploy
from ..host.files import place
from ..host.found import Paths
from ..host.look import Look, Wide, foresee, look
from ..host.machine import of_this_host
from ..host.packages import AptPackages, debs_here, packages
from ..host.rows import Row, row
from ..host.steps import Commands, can_not_be_asked, stays, told, verb, will_have_changed
from ..host.units import NO_UNIT, Units, Watched, running
from ..resources import template
from ..settings import Settings, accounts, exporters
from ..settings.endpoints import listeners
from .cluster import (
    CLUSTER_FILES,
    PSQL,
    SETTINGS_FILE,
    MainCluster,
    certificate,
    cluster_access,
    cluster_settings,
    less_access,
    main_cluster,
    more_access,
    rules,
)
from .passwords import scram_matches, scram_verifier


@deploy("PostgreSQL")
def deploy_postgresql(settings: Settings | None = None, *, keep_access: bool = False) -> None:
    """Install PostgreSQL with a role and a database for Airflow; works alone.

    With ``keep_access``, access granted by an earlier run stays until ``deploy_less_access``: what
    runs elsewhere may still need it.
    """
    settings = of_this_host(settings)
    guard_alone(settings, POSTGRESQL.group)
    every = (*(each.user for each in settings.databases), *_monitor(settings))
    packages(name="Install the server", packages=POSTGRESQL.packages, debs=debs_here(settings))
    files = certificate(settings)
    place(files)
    listen = ",".join(listeners(settings, POSTGRESQL))
    text = template("postgresql.conf", settings=settings, listen=listen, files=tuple(files))
    cluster_settings(name="Configure the server", text=text)
    lines = hba_lines(settings)
    opened = cluster_access(name="Configure who may connect", lines=lines, keep=keep_access)
    cluster_running(
        name="Run the server",
        text=text,
        certificate={path: file.text for path, file in files.items()},
        opened=opened,
    )
    known = foresee(PostgresqlContents, roles=every)
    for each in host.loop(settings.databases):
        user, name = each.user, each.name
        role(
            name=f"{verb(known.roles if known else None, user)} the role {user}",
            role=user,
            password=each.password,
            superuser=settings.postgresql_superuser,
        )
        database(
            name=f"{verb(known.databases if known else None, name)} the database {name}",
            database=name,
            owner=user,
        )
    for user in _monitor(settings):
        monitor(
            name=f"{verb(known.roles if known else None, user)} the role {user}",
            role=user,
        )


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_postgresql` ask."""
    every = (*(each.user for each in settings.databases), *_monitor(settings))
    yield Look.of(AptPackages, packages=POSTGRESQL.packages)
    yield Look.of(Paths, paths=tuple(certificate(settings)))
    yield Look.of(MainCluster, files=CLUSTER_FILES)
    yield Look.of(PostgresqlContents, roles=every)


@deploy("PostgreSQL")
def deploy_more_access(settings: Settings) -> None:
    """Restore the access that ``deploy_less_access`` of another release has revoked."""
    more_access(name="Restore database access", lines=hba_lines(settings))


@deploy("PostgreSQL")
def deploy_less_access(settings: Settings) -> None:
    """Revoke the access that ``deploy_postgresql`` has kept."""
    less_access(name="Revoke database access that is no longer needed", lines=hba_lines(settings))


def _monitor(settings: Settings) -> tuple[str, ...]:
    """Return the role of the exporter of metrics, where there is one."""
    here = servers.POSTGRESQL_EXPORTER in exporters.here(settings)
    return (accounts.METRICS,) if here else ()


def hba_lines(settings: Settings) -> list[str]:
    """Return one line of pg_hba.conf for each network and each database that it may use."""
    here, topology = ("127.0.0.1", "::1"), settings.topology
    metadata = [each for each in topology.database_hosts if each in topology.direct_hosts]
    how = settings.postgresql_auth
    lines = rules(
        settings, settings.metadata_database, (*here, *metadata, *settings.postgresql_allow), how
    )
    if settings.release.results_apart:
        addresses = (*here, *topology.direct_hosts)
        lines += rules(settings, settings.results_database, addresses, how)
    return [*lines, *(f"local postgres {user} peer" for user in _monitor(settings))]


@operation()
def cluster_running(
    text: str, certificate: Mapping[str, str], *, opened: OperationMeta
) -> Commands:
    """Run the cluster, restarted for newer settings and reloaded for newer access rules.

    ``text`` are the settings, ``certificate`` its files, ``opened`` is the step that writes the
    rules.
    """
    cluster = main_cluster()
    folder = cluster.folder if cluster else "/etc/postgresql/none"
    version = cluster.version if cluster else "none"
    unit = f"postgresql@{version}-main.service" if cluster else "postgresql.service"
    watched = Watched(
        unit,
        f"/var/lib/postgresql/{version}/main/postmaster.pid",
        (f"{folder}/{SETTINGS_FILE}", f"{folder}/postgresql.conf", *certificate),
    )
    texts = {f"{folder}/{SETTINGS_FILE}": text, **certificate}
    commands = list(running._inner(watched, texts=texts))
    if commands and cluster:
        commands.insert(0, f"sed -i 's/^manual/auto/' {folder}/start.conf")
    contents = look(PostgresqlContents, roles=())
    stale = cluster and contents and contents.loaded < cluster.rules_changed
    if not commands and (stale or will_have_changed([opened])):
        commands = [f"systemctl reload {unit}"]
    yield from commands


@operation()
def role(role: str, password: str, *, superuser: bool = False) -> Commands:
    """Bring a role to a login with this password and no other rights, demotion included."""
    contents = look(PostgresqlContents, roles=(role,))
    if can_not_be_asked(contents):
        host.noop("PostgreSQL does not answer")
        return
    have = contents.roles.get(role) if contents else None
    flags = {right: right in ("rolcanlogin", superuser and "rolsuper") for right in RIGHTS}
    same = have and scram_matches(have["salt"], have["digest"], password)
    changes = [*([] if same else ["password"]), *rights_changed(have, flags)] if have else []
    if have and not changes:
        host.noop(f"role {role} is as it should be")
        return
    told(f"role {role}", changes)
    yield _sql(f"{_role(role, have, flags)} PASSWORD '{scram_verifier(password)}';")


def rights_changed(have: Mapping[str, Any], flags: Mapping[str, bool]) -> list[str]:
    """Return what a role gains and loses of its rights."""
    gains = ", ".join(RIGHTS[right] for right in flags if flags[right] > have[right])
    loses = ", ".join(RIGHTS[right] for right in flags if flags[right] < have[right])
    return [f"{word} {rights}" for word, rights in (("gains", gains), ("loses", loses)) if rights]


def _role(role: str, have: object, flags: Mapping[str, bool]) -> str:
    words = " ".join(("" if flags[right] else "NO") + word for right, word in RIGHTS.items())
    return f'{"ALTER" if have else "CREATE"} ROLE "{role}" {words}'


@operation()
def monitor(role: str) -> Commands:
    """Bring a role to one that may read statistics, and log in from its own account alone."""
    contents = look(PostgresqlContents, roles=(role,))
    if can_not_be_asked(contents):
        host.noop("PostgreSQL does not answer")
        return
    have = contents.roles.get(role) if contents else None
    flags = {right: right == "rolcanlogin" for right in RIGHTS}
    changes = _monitor_changed(have, flags) if have else []
    if have and not changes:
        host.noop(f"role {role} is as it should be")
        return
    told(f"role {role}", changes)
    yield _sql(f'{_role(role, have, flags)} PASSWORD NULL; GRANT pg_monitor TO "{role}";')


def _monitor_changed(have: Mapping[str, Any], flags: Mapping[str, bool]) -> list[str]:
    gains = [] if have["monitor"] else ["gains pg_monitor"]
    loses = [] if have["digest"] is None else ["loses its password"]
    return [*gains, *loses, *rights_changed(have, flags)]


@operation()
def database(database: str, owner: str) -> Commands:
    """Create a database in UTF8, or set the owner of an existing one."""
    contents = look(PostgresqlContents, roles=(owner,))
    if can_not_be_asked(contents):
        host.noop("PostgreSQL does not answer")
        return
    have = contents.databases.get(database) if contents else None
    if not have:
        yield _sql(
            f'CREATE DATABASE "{database}" OWNER "{owner}" ENCODING \'UTF8\' TEMPLATE template0;'
        )
    elif have["encoding"] != "UTF8":
        yield f"echo 'database {database} has encoding {have['encoding']}, not UTF8' >&2; false"
    elif have["owner"] != owner:
        told(f"database {database}", [f"owner: {have['owner']} -> {owner}"])
        yield _sql(f'ALTER DATABASE "{database}" OWNER TO "{owner}";')
    else:
        host.noop(f"database {database} is as it should be")


def _sql(statement: str) -> StringCommand:
    return StringCommand(PSQL, "-f -", _stdin=statement)


def checks(settings: Settings) -> Iterator[Row]:
    """Look for the roles, and what they may do."""
    wanted = tuple(each.user for each in settings.databases)
    contents = look(PostgresqlContents, roles=wanted)
    if contents is None:
        yield row("database roles", False, "PostgreSQL does not answer")
        return
    missing = [role for role in wanted if role not in contents.roles]
    super_ = [role for role in contents.roles if contents.roles[role]["rolsuper"]]
    if missing:
        yield row("database roles", False, f"missing: {', '.join(missing)}")
        return
    right = not super_ or settings.postgresql_superuser
    yield row("database roles", right, f"superuser: {', '.join(super_)}" if super_ else "plain")


@operation()
def absent(settings: Settings) -> Commands:
    """Stop the cluster, which keeps its data, unless it has databases of others."""
    cluster = main_cluster()
    unit = f"postgresql@{cluster.version}-main.service" if cluster else ""
    have = look(Units, watched=(Watched(unit, "/", ()),)).get(unit, NO_UNIT) if cluster else NO_UNIT
    if cluster is None or not (have.active or have.enabled):
        host.noop("PostgreSQL is not running")
        return
    contents = look(PostgresqlContents, roles=())
    ours = {"postgres", settings.postgresql_database, settings.postgresql_results_database}
    known = contents.databases if contents else {}
    others = [name for name in known if name not in ours and not name.startswith("template")]
    if others:
        host.log(f"PostgreSQL stays: it also has other databases ({', '.join(others)})")
    if others or stays("PostgreSQL", settings.postgresql_port):
        host.noop("PostgreSQL is still in use")
        return
    host.log(f"/var/lib/postgresql/{cluster.version}/main keeps the data", logger.info)
    # Debian's own unit starts every cluster whose file says so.
    yield f"sed -i 's/^auto/manual/' {cluster.folder}/start.conf"
    yield f"systemctl disable -q --now {unit}"


_CONTENTS = """
SELECT json_build_object(
    'loaded', extract(epoch FROM pg_conf_load_time()),
    'roles', (SELECT coalesce(json_object_agg(rolname, r), '{{}}') FROM (
        SELECT rolname, {rights},
            pg_has_role(oid, 'pg_monitor', 'MEMBER') AS monitor,
            split_part(rolpassword, '$', 2) AS salt,
            encode(sha256(rolpassword::bytea), 'hex') AS digest
        FROM pg_authid WHERE rolname IN ({roles})) r),
    'databases', (SELECT json_object_agg(datname, json_build_object(
        'owner', pg_get_userbyid(datdba), 'encoding', pg_encoding_to_char(encoding)))
        FROM pg_database))
"""

RIGHTS = {
    "rolcanlogin": "LOGIN",
    "rolsuper": "SUPERUSER",
    "rolcreatedb": "CREATEDB",
    "rolcreaterole": "CREATEROLE",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}
"""What a role may do: column of pg_authid -> the word of ALTER ROLE."""


@dataclass(frozen=True)
class Contents:
    """What the server has; without PostgreSQL nothing."""

    loaded: float = 0
    """When it read its access rules, in seconds since 1970."""
    roles: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> rights, salt and digest of the password."""
    databases: Mapping[str, dict[str, str]] = field(default_factory=dict)
    """Name -> owner and encoding."""


class PostgresqlContents(Wide[Contents | None]):
    """What the newest cluster ``main`` has, of its roles those asked for; None when it is down."""

    wide = "roles"

    @staticmethod
    def default() -> Contents | None:
        return Contents()

    def command(self, roles: tuple[str, ...]) -> StringCommand:
        query = _CONTENTS.format(
            rights=", ".join(RIGHTS), roles=", ".join(f"'{role}'" for role in roles or ("",))
        )
        return StringCommand(
            "if test -d /etc/postgresql; then", PSQL, "-c", QuoteString(query),
            "2>/dev/null || echo null; fi",
        )  # fmt: skip

    def process(self, output: list[str]) -> Contents | None:
        answer = json.loads("\n".join(output))
        return answer and Contents(**answer)


@operation()
def databases_absent(databases: Sequence[str], roles: Sequence[str]) -> Commands:
    """Drop databases and the roles that owned them."""
    have = look(PostgresqlContents, roles=tuple(roles)) or Contents()
    drops = [f'DROP DATABASE "{name}";' for name in databases if name in have.databases]
    drops += [f'DROP ROLE "{role}";' for role in roles if role in have.roles]
    if not drops:
        host.noop("there are none")
        return
    yield StringCommand(PSQL, "-f -", _stdin="\n".join(drops))
