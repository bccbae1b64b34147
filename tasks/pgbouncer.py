"""PgBouncer before our PostgreSQL: many connections of Airflow share a few of the database."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import operation

from . import releases
from .addresses import EVERYBODY
from .deploys import deploy
from .facts import MARK, Watched
from .guard import guard_alone
from .operations import Commands, File, place, running
from .postgresql import POOL_RULES, certificate, main_cluster, rules
from .resources import template
from .settings import Settings
from .system import debs_here, of_this_host, packages

UNIT = "pgbouncer.service"
_SERVICE = f"/etc/systemd/system/{UNIT}"
_MAIN, _USERS = "/etc/pgbouncer/pgbouncer.ini", "/etc/pgbouncer/userlist.txt"
_MARK = f"# {MARK}."
FILES = (_MAIN, _USERS, POOL_RULES, _SERVICE)


@deploy("PgBouncer")
def deploy_pgbouncer(settings: Settings | None = None) -> None:
    """Install PgBouncer beside our PostgreSQL, for the hosts that run Airflow.

    Migrations and dumps go past it: a lock or a setting of theirs belongs to a whole session.
    """
    settings = of_this_host(settings)
    guard_alone(settings, releases.PGBOUNCER)
    packages(name="Install PgBouncer", packages=releases.APT["pgbouncer"], debs=debs_here(settings))
    files = configuration(settings)
    place(files)
    read = {**files, **certificate(settings)}
    running(
        name="Run PgBouncer",
        watched=Watched(UNIT, "/run/postgresql/pgbouncer.pid", tuple(read)),
        texts={path: file.text for path, file in read.items()},
    )


@deploy("PgBouncer")
def deploy_no_pgbouncer() -> None:
    """Stop a PgBouncer of ours that the inventory has no more; by now nobody goes through it."""
    pool_absent(name="Remove the pool that is no more")


@operation()
def pool_absent() -> Commands:
    """Stop PgBouncer and remove our configuration with its passwords; another's stays."""
    cluster = main_cluster()
    if cluster is None or POOL_RULES not in cluster.files:
        host.noop("no PgBouncer of ours is here")
        return
    remove = f"rm -f {' '.join(FILES)} && systemctl daemon-reload"
    yield f"systemctl disable -q --now {UNIT} && {remove}"


def configuration(settings: Settings) -> dict[str, File]:
    """Give its settings, the passwords that both of its sides ask for, and its unit."""
    main = template(
        "pgbouncer.ini",
        settings=settings,
        addresses=listeners(settings),
        databases=[each.name for each in settings.databases],
        files=tuple(certificate(settings)),
        users=_USERS,
        rules=POOL_RULES,
    )
    logins = {each.user: each.password for each in settings.databases}
    # It has no comments, but the rest of a line is ignored.
    users = "".join(f'"{user}" "{_doubled(word)}" {_MARK}\n' for user, word in logins.items())
    return {
        _MAIN: File(main, user="postgres", group="postgres", mode="640"),
        POOL_RULES: File(
            "\n".join([_MARK, *hba_lines(settings)]) + "\n", user="postgres", mode="640"
        ),
        _USERS: File(users, user="postgres", group="postgres", mode="640", secret=True),
        _SERVICE: File(template("pgbouncer.service", main=_MAIN, port=settings.pgbouncer_port)),
    }


def _doubled(password: str) -> str:
    return password.replace('"', '""')


def hba_lines(settings: Settings) -> list[str]:
    """Give the lines by which each role has its own database alone; who may come says the firewall.

    So that another host of Airflow is no change to PgBouncer, which would close its connections.
    """
    databases, how = settings.databases, "scram-sha-256"
    return [line for each in databases for line in rules(settings, each, EVERYBODY, how)]


def listeners(settings: Settings) -> tuple[str, ...]:
    """Give the addresses that PgBouncer listens on: the host's only where others need it."""
    return ("127.0.0.1", *((settings.topology.address,) if settings.topology.hosts else ()))
