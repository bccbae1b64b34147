"""Redis as the broker: Airflow's own instance, in place of Debian's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import StringIO

from pyinfra import host, logger
from pyinfra.api import FactBase, QuoteString, StringCommand, operation

from ..before.guard import guard_alone
from ..catalog.servers import REDIS
from ..deploys import deploy
from ..host.files import File, Folder, place
from ..host.found import Paths
from ..host.look import Look, look
from ..host.machine import of_this_host
from ..host.packages import AptPackages, debs_here, packages
from ..host.rows import Row, row
from ..host.steps import Commands, stays
from ..host.units import NO_UNIT, Units, Watched, running
from ..resources import template
from ..settings import Settings
from ..settings.endpoints import listeners
from .tls import certificate_files

_FOLDER = "/etc/redis"
CONFIGURATION = f"{_FOLDER}/redis-airflow.conf"
DATA = "/var/lib/redis/airflow"
MADE = (
    CONFIGURATION,
    *(f"{_FOLDER}/airflow.{kind}" for kind in ("crt", "key")),
    f"/etc/systemd/system/{REDIS.unit}.d",
)
"""What is there of it, beside its data."""


@deploy("Redis")
def deploy_redis(settings: Settings | None = None) -> None:
    """Install Redis with a password, persistent and for the inventory's hosts alone."""
    settings = of_this_host(settings)
    guard_alone(settings, REDIS.group)
    packages(
        name="Install Redis",
        packages=REDIS.packages,
        debs=debs_here(settings),
        masked=REDIS.masked,
    )
    files = configuration(settings)
    place({DATA: Folder("redis", "redis", "750"), **files})
    running(
        name="Run Redis",
        watched=_watched(files),
        texts={path: file.text for path, file in files.items()},
    )


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_redis` ask."""
    files = configuration(settings)
    yield Look.of(AptPackages, packages=REDIS.packages)
    yield Look.of(Paths, paths=(DATA, *files))
    yield Look.of(Units, watched=(_watched(files),))


def _watched(files: Iterable[str]) -> Watched:
    return Watched(REDIS.unit, "/run/redis-airflow/redis-server.pid", tuple(files))


def configuration(settings: Settings) -> dict[str, File]:
    """Return the instance's files; the first holds the password."""
    certificate = certificate_files(settings, "redis", _FOLDER, REDIS.user)
    main = template(
        "redis-airflow.conf",
        settings=settings,
        addresses=listeners(settings, REDIS),
        password=settings.secret("redis_password"),
        files=tuple(certificate),
        data=DATA,
    )
    return {**certificate, CONFIGURATION: File(main, group="redis", mode="640", secret=True)}


# In Python, since redis-cli of Debian 11 can't do without a CA.
_PING = """
import socket, ssl, sys
stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
if sys.argv[2:]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    stream = context.wrap_socket(stream)
stream.sendall(b"AUTH %s\\r\\nPING\\r\\n" % sys.stdin.buffer.read().strip())
for line in stream.makefile("r"):
    print(line.strip(), flush=True)
    if not line.startswith("+OK"):
        break
"""


class Pinged(FactBase[str]):
    """What Redis on this host answers to PING, after a password that comes on standard input."""

    default = str

    def command(self, port: int, tls: bool) -> StringCommand:
        words = ("timeout 30 python3 -c", QuoteString(_PING), str(port), "tls" if tls else "")
        return StringCommand(*words, "2>&1 || true")

    def process(self, output: list[str]) -> str:
        return output[-1]


def checks(settings: Settings) -> Iterator[Row]:
    """Ask it, with Airflow's password."""
    stdin = StringIO(settings.secret("redis_password"))
    said = look(Pinged, stdin, port=settings.redis_port, tls=bool(settings.redis_tls))
    yield row("Redis", said == "+PONG", "answers" if said == "+PONG" else said or "no answer")


@operation()
def absent(settings: Settings, *, force: bool = False) -> Commands:
    """Stop our instance for good and remove its configuration with the password; its data stays."""
    have = look(Units, watched=(Watched(REDIS.unit, "/", ()),)).get(REDIS.unit, NO_UNIT)
    files = look(Paths, paths=MADE)
    if not (have.active or have.enabled or files):
        host.noop("this package has set up no Redis here")
        return
    if not force and stays("Redis", settings.redis_port):
        host.noop("Redis is still in use")
        return
    host.log(f"{DATA} keeps what Redis has stored", logger.info)
    yield f"systemctl disable -q --now {REDIS.unit}"
    yield StringCommand("rm -rf", *map(QuoteString, MADE), "&& systemctl daemon-reload")
