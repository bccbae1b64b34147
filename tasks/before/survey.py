"""One look at a host before anything is changed there: what is on it that is not ours."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from pyinfra.api import FactBase, Host, QuoteString, StringCommand

from ..catalog import releases, servers
from ..host.connection import LastHolder, remember_the_last_holder
from ..host.look import Look, ask_expected, expect, look
from ..host.machine import HostSystem
from ..resources import template
from ..run import active_hosts, as_host, memory, this_host
from ..settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings, secrets
from ..settings.accounts import accounts
from ..settings.endpoints import endpoints
from ..settings.places import PROXY_SITE
from . import stored, tunnel
from .stored import Stored

MARKED = "/etc/pyinfra-airflow"
"""What tells a host of ours: by which Fernet key, and which database its Airflow uses."""
KEY = "airflow_fernet_key"
_LOCK = "airflow_look"
"""Where a host's connector data keeps what lets one other host at a time look at it."""
_ASKED = "airflow_asked"
"""Where it keeps what an external database has said."""


class Process(NamedTuple):
    """A process of an Airflow that is not ours."""

    pid: str
    user: str
    component: str
    unit: str
    """``-`` for one that no unit has started."""
    home: str
    """Its AIRFLOW_HOME; ``-`` where that is not set."""


class Listener(NamedTuple):
    """Who listens on a port."""

    port: int
    pid: str
    program: str
    unit: str


class Login(NamedTuple):
    """An account."""

    number: int
    home: str
    shell: str
    used: str
    """What runs as it, if anything does."""


@dataclass(frozen=True)
class Seen:
    """What is on a host; a bare one has nothing of all this."""

    names: tuple[str, ...] = ()
    """What it calls itself, and what an Airflow of ours calls it."""
    keys: frozenset[str] = frozenset()
    """Fingerprints of the Fernet keys that our Airflow has there."""
    in_use: bool = False
    """Whether that Airflow's secrets are there, and not just the mark."""
    marked: Mapping[str, str] = field(default_factory=dict)
    """What MARKED says."""
    current: str = ""
    """The release of Airflow that an environment of ours has; empty where none is in use."""
    home: str = ""
    """The AIRFLOW_HOME of our Airflow there."""
    processes: tuple[Process, ...] = ()
    units: tuple[str, ...] = ()
    """Files of units that are not ours, and that are called like ours or start an Airflow."""
    listeners: tuple[Listener, ...] = ()
    """Who listens on the ports that are wanted."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """Those that are wanted, there and not empty -> their owners."""
    files: tuple[str, ...] = ()
    """Those that are wanted, and that this package has not written."""
    entries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What is in the folders of ours."""
    accounts: Mapping[str, Login] = field(default_factory=dict)
    """Those that are wanted, by their names."""
    nodes: tuple[str, ...] = ()
    """RabbitMQ's nodes with data."""
    broker: str = ""
    """Whose configuration RabbitMQ has: ours, other, or empty."""
    mentions: tuple[str, ...] = ()
    """Files of cron, logrotate and timers that speak of Airflow."""
    sites: tuple[str, ...] = ()
    """Sites of nginx that lead to the web UI's port."""
    cluster: str = ""
    """Whose PostgreSQL is there: ours, other, or empty."""
    databases: Mapping[str, int] = field(default_factory=dict)
    """Its databases -> connections to them."""
    servers: frozenset[str] = frozenset()
    """Groups of the servers of ours that are there, and not off."""
    stored: Stored | None = None
    """What the wanted database holds; None where there is none."""
    unknown: str = ""
    """Why that can't be known."""
    pool: str = ""
    """Whose configuration PgBouncer has: ours, other, or empty."""
    client: int = 0
    """Major version of PostgreSQL's programs there; 0 without any."""
    distribution: str = ""
    """Name and version, such as ``Debian 12``."""

    @property
    def ours(self) -> bool:
        """Whether there is anything of this package, if only what an uninstall has left."""
        servers = (self.cluster, self.broker, self.pool)
        return bool(self.current or self.marked or self.keys) or "ours" in servers


class Survey(FactBase[Seen]):
    """What is on a host that is not ours, and what our database holds.

    The variables with which an external database is asked come on standard input.
    """

    default = Seen

    def command(
        self,
        home: str,
        ports: tuple[int, ...],
        accounts: tuple[str, ...],
        database: str,
        local: bool,
        web_port: int | None,
    ) -> StringCommand:
        script = template(
            "survey",
            mark=MARKED,
            configuration=CONFIGURATION,
            environment=ENVIRONMENT,
            logs=LOGS,
            web_port=web_port,
            database=database,
            local=local,
            direct=(*stored.PATIENCE, *stored.DIRECT),
            derived=stored.DERIVED,
            site=PROXY_SITE,
        )
        words = (home, " ".join(map(str, ports)), " ".join(accounts), database)
        return StringCommand("bash -c", QuoteString(script), "survey", *map(QuoteString, words))

    def process(self, output: list[str]) -> Seen:
        return read(output)


def read(output: list[str]) -> Seen:
    """Read what the survey has printed."""
    answers = [line for line in output if line.startswith("{")]
    pairs = [line.partition(" ")[::2] for line in output if not line.startswith("{")]

    def every(word: str) -> list[str]:
        return [rest for first, rest in pairs if first == word]

    marked = dict(line.partition(" ")[::2] for line in every("marked"))
    unknown = next((w.partition(" ")[2] for w in every("stored") if w.startswith("unknown")), "")
    return Seen(
        names=tuple(name for line in every("name") for name in line.split()),
        keys=frozenset(every("fernet") or marked.get("fernet", "").split()),
        in_use=bool(every("fernet")),
        marked=marked,
        current="".join(every("current")),
        home="".join(every("home")),
        processes=tuple(Process(*line.split(" ", 4)) for line in every("process")),
        units=tuple(every("unit")),
        listeners=tuple(map(_listener, every("port"))),
        folders={path: owner for owner, _, path in (w.partition(" ") for w in every("folder"))},
        files=tuple(every("file")),
        entries={
            ENVIRONMENT: tuple(every("environment")),
            CONFIGURATION: tuple(every("configuration")),
        },
        accounts=dict(map(_account, every("account"))),
        nodes=tuple(every("node")),
        broker="".join(every("broker")),
        pool="".join(every("pool")),
        client=max(map(int, every("client")), default=0),
        distribution="".join(every("distribution")).title(),
        servers=frozenset(every("server")),
        mentions=tuple(every("mention")),
        sites=tuple(every("site")),
        cluster="".join(every("cluster")),
        databases={n: int(c) for n, _, c in (w.rpartition(" ") for w in every("database"))},
        stored=None if unknown or not answers else stored.read(answers),
        unknown=unknown,
    )


def _listener(line: str) -> Listener:
    port, *rest = line.split(" ")
    return Listener(int(port), *rest)


def _account(line: str) -> tuple[str, Login]:
    entry, _, used = line.partition("|")
    name, _, number, *_, home, shell = entry.split(":")
    return name, Login(int(number), home, shell, used)


def fingerprints(keys: str) -> frozenset[str]:
    """Return what tells Fernet keys, which a comma separates, without showing them."""
    return frozenset(map(fingerprint, keys.split(",")))


def fingerprint(secret: str) -> str:
    """Return what tells a secret that nobody could guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Site(NamedTuple):
    """A host as it should be and as it is."""

    settings: Settings
    seen: Seen
    secrets_file: Path
    generated: Mapping[str, str]
    """Secrets that are those of this file, and not given: name -> fingerprint."""

    @property
    def holds_database(self) -> bool:
        """Whether this host is the one that is asked what the database holds."""
        runs_it = "postgresql" in self.settings.topology.components
        return runs_it or _asks_external(self.settings)


def _asks_external(settings: Settings) -> bool:
    return settings.topology.database_here and "postgresql" in settings.foreign


def everywhere(settings: Settings, *, alone: bool = False) -> dict[str, Site]:
    """Look at every host of this run, or ``alone`` at this one: name -> what was seen.

    Whichever host comes first has all of them looked at, so that a refusal speaks of them all.
    """
    own: Host = this_host()  # `host` stands for whichever one is in use
    sites = {own.name: _site(own, settings)}
    others = [] if alone else active_hosts()
    for each in others:
        if each is not own and not _GROUPS.isdisjoint(each.groups):
            sites[each.name] = _site(each, Settings.of(each))
    return sites


_COMPONENTS = (component for each in releases.RELEASES for component in each.components)
_GROUPS = frozenset(
    (
        *releases.GROUPS,
        *(group for component in _COMPONENTS for group in component.groups),
    )
)
"""Those of an inventory whose hosts are ours to look at."""


def _site(each: Host, settings: Settings) -> Site:
    lock = memory(each).setdefault(_LOCK, threading.Lock())
    with lock, as_host(each):
        file = settings.secrets_file(each)
        return Site(settings, seen(settings), file, generated(settings, file))


def _used(settings: Settings) -> list[str]:
    """Name the generated secrets that this stack uses; the others are in no host's files."""
    release = settings.release
    unused = {
        "airflow_jwt_secret": "jwt_secret" not in release.keys,
        "postgresql_results_password": not release.results_apart,
        **{
            name: each.settings != settings.broker
            for each in servers.BROKERS
            for name in each.secrets
        },
    }
    return [name for name in secrets.GENERATORS if not unused.get(name)]


def generated(settings: Settings, file: Path) -> dict[str, str]:
    """Return the fingerprints of the file's own secrets, which are too long to be guessed."""
    values = {name: settings.secret(name) for name in _used(settings)}
    own = {name: value for name, value in values.items() if secrets.kept(file, name) == value}
    return {name: fingerprint(value) for name, value in own.items()}


def seen(settings: Settings) -> Seen:
    """Look at this host, and through it at an external database."""
    external = _asks_external(settings)
    question = _question(settings)
    if not external:
        expect([question, Look.of(HostSystem), Look.of(LastHolder)])
        ask_expected()
    stdin = StringIO(_login(settings)) if external else None
    found = look(Survey, stdin, **question.arguments)
    remember_the_last_holder()
    return replace(found, **_through(settings)) if external and found.unknown else found


def _question(settings: Settings) -> Look:
    local = "postgresql" in settings.topology.components
    return Look.of(
        Survey,
        home=settings.airflow_home,
        ports=tuple(sorted({each.port for each in endpoints(settings)})),
        accounts=tuple(accounts(settings)),
        database=settings.postgresql_database if local or _asks_external(settings) else "",
        local=local,
        web_port=settings.airflow_web_port if settings.airflow_components else None,
    )


def _through(settings: Settings) -> dict[str, Any]:
    """Ask an external database from this machine, once: the host can't, or has no client yet."""
    kept = memory()
    if _ASKED not in kept:
        try:
            kept[_ASKED] = {"stored": tunnel.ask(settings), "unknown": ""}
        except tunnel.CannotAskError as error:
            kept[_ASKED] = {"unknown": str(error)}
    answer: dict[str, Any] = kept[_ASKED]
    return answer


def _login(settings: Settings) -> str:
    """Return the variables with which psql reaches the external database."""
    variables = {
        "PGHOST": settings.server("postgresql"),
        "PGPORT": settings.postgresql_port,
        "PGUSER": settings.postgresql_user,
        "PGPASSWORD": settings.secret("postgresql_password"),
        "PGDATABASE": settings.postgresql_database,
        "PGSSLMODE": settings.sslmode or "prefer",
        "PGSSLROOTCERT": settings.ca_path("postgresql"),
        "PGCONNECT_TIMEOUT": 10,
    }
    return "".join(f"{name}={value}\n" for name, value in variables.items())
