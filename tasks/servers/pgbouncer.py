"""PgBouncer in front of our PostgreSQL: Airflow's many connections share a few to the database."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

from pyinfra import host
from pyinfra.api import FactBase, QuoteString, StringCommand, operation

from ..addresses import EVERYBODY
from ..before.guard import guard_alone
from ..catalog.servers import PGBOUNCER
from ..deploys import deploy
from ..host.files import File, place
from ..host.found import MARK, Paths
from ..host.look import Look, look
from ..host.machine import of_this_host
from ..host.packages import AptPackages, debs_here, packages
from ..host.rows import Row, row
from ..host.steps import Commands, stays
from ..host.units import Units, Watched, running
from ..resources import template
from ..settings import Settings
from ..settings.endpoints import listeners
from .cluster import POOL_RULES, certificate, main_cluster, rules

_SERVICE = f"/etc/systemd/system/{PGBOUNCER.unit}"
_MAIN, _USERS = "/etc/pgbouncer/pgbouncer.ini", "/etc/pgbouncer/userlist.txt"
_MARK = f"# {MARK}."
FILES = (_MAIN, _USERS, POOL_RULES, _SERVICE)


@deploy("PgBouncer")
def deploy_pgbouncer(settings: Settings | None = None) -> None:
    """Install PgBouncer next to our PostgreSQL, for the hosts that run Airflow.

    Migrations and dumps bypass it, because their locks and settings need a whole session.
    """
    settings = of_this_host(settings)
    guard_alone(settings, PGBOUNCER.group)
    packages(name="Install PgBouncer", packages=PGBOUNCER.packages, debs=debs_here(settings))
    place(configuration(settings))
    read = _read(settings)
    running(
        name="Run PgBouncer",
        watched=_watched(settings),
        texts={path: file.text for path, file in read.items()},
    )


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_pgbouncer` ask."""
    yield Look.of(AptPackages, packages=PGBOUNCER.packages)
    yield Look.of(Paths, paths=tuple(configuration(settings)))
    yield Look.of(Units, watched=(_watched(settings),))


def _read(settings: Settings) -> dict[str, File]:
    return {**configuration(settings), **certificate(settings)}


def _watched(settings: Settings) -> Watched:
    return Watched(PGBOUNCER.unit, "/run/postgresql/pgbouncer.pid", tuple(_read(settings)))


class Pooled(FactBase[str]):
    """What PgBouncer at ``port`` says to a login, whose password comes on standard input."""

    default = str

    def command(self, port: int, user: str, database: str) -> StringCommand:
        words = ("-h 127.0.0.1 -p", str(port), "-U", QuoteString(user), "-d", QuoteString(database))
        return StringCommand(
            "PGPASSWORD=$(cat) PGCONNECT_TIMEOUT=10 psql -XqAtw",
            *words,
            "-c 'SELECT 1' 2>&1 || true",
        )

    def process(self, output: list[str]) -> str:
        return output[-1]


def checks(settings: Settings) -> Iterator[Row]:
    """Log in to the metadata database through it."""
    stdin = StringIO(settings.secret("postgresql_password"))
    said = look(
        Pooled,
        stdin,
        port=settings.pgbouncer_port,
        user=settings.postgresql_user,
        database=settings.postgresql_database,
    )
    yield row("PgBouncer", said == "1", "lets Airflow in" if said == "1" else said or "no answer")


@operation()
def absent(settings: Settings, *, force: bool = False) -> Commands:
    """Stop PgBouncer and remove our configuration with its passwords; another's stays."""
    cluster = main_cluster()
    if cluster is None or POOL_RULES not in cluster.files:
        host.noop("this package has set up no PgBouncer here")
        return
    if not force and stays("PgBouncer", settings.pgbouncer_port):
        host.noop("PgBouncer is still in use")
        return
    remove = f"rm -f {' '.join(FILES)} && systemctl daemon-reload"
    yield f"systemctl disable -q --now {PGBOUNCER.unit} && {remove}"


def configuration(settings: Settings) -> dict[str, File]:
    """Return its settings, the passwords that both of its sides ask for, and its unit."""
    main = template(
        "pgbouncer.ini",
        settings=settings,
        addresses=listeners(settings, PGBOUNCER),
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
    """Return the lines that let each role into its own database only; the firewall limits hosts.

    So another Airflow host does not change PgBouncer's files, which would close its connections.
    """
    databases, how = settings.databases, "scram-sha-256"
    return [line for each in databases for line in rules(settings, each, EVERYBODY, how)]
