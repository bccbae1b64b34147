"""Redis as the broker, or Valkey: Airflow's own instance, in place of Debian's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO

from pyinfra import host, logger
from pyinfra.api import FactBase, QuoteString, StringCommand, operation

from ..before.guard import guard_alone
from ..catalog.servers import REDIS, VALKEY, Server
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


@dataclass(frozen=True)
class Program:
    """Redis or Valkey, whose Debian packages differ in nothing but names."""

    server: Server

    @property
    def folder(self) -> str:
        """Return the folder of its configuration."""
        return f"/etc/{self.server.group}"

    @property
    def configuration(self) -> str:
        """Return the instance's file, which holds the password."""
        return f"{self.folder}/{self.server.group}-airflow.conf"

    @property
    def data(self) -> str:
        """Return the folder of what the instance stores."""
        return f"/var/lib/{self.server.group}/airflow"

    @property
    def pid(self) -> str:
        """Return the file that its start writes."""
        return f"/run/{self.server.group}-airflow/{self.server.group}-server.pid"

    @property
    def made(self) -> tuple[str, ...]:
        """Return what is there of it, in addition to its data."""
        certificate = (f"{self.folder}/airflow.{kind}" for kind in ("crt", "key"))
        return (self.configuration, *certificate, f"/etc/systemd/system/{self.server.unit}.d")

    def watched(self, files: Iterable[str]) -> Watched:
        """Return what tells whether it has to restart."""
        return Watched(self.server.unit, self.pid, tuple(files))


PROGRAM = Program(REDIS)
VALKEYS_PROGRAM = Program(VALKEY)


@deploy("Redis")
def deploy_redis(settings: Settings | None = None) -> None:
    """Install Redis with a password, persistent and for the inventory's hosts alone.

    On a host in the group `valkey` that is Valkey.
    """
    settings = of_this_host(settings)
    here = VALKEY.group in settings.topology.components
    program = VALKEYS_PROGRAM if here else PROGRAM
    server = program.server
    guard_alone(settings, server.group)
    packages(
        name=f"Install {server.name}",
        packages=server.packages,
        debs=debs_here(settings),
        masked=server.masked,
    )
    files = configuration(settings, program)
    place({program.data: Folder(server.user, server.user, "750"), **files})
    running(
        name=f"Run {server.name}",
        watched=program.watched(files),
        texts={path: file.text for path, file in files.items()},
    )


def looks(settings: Settings, program: Program = PROGRAM) -> Iterator[Look]:
    """Return what the steps of `deploy_redis` ask."""
    files = configuration(settings, program)
    yield Look.of(AptPackages, packages=program.server.packages)
    yield Look.of(Paths, paths=(program.data, *files))
    yield Look.of(Units, watched=(program.watched(files),))


def configuration(settings: Settings, program: Program = PROGRAM) -> dict[str, File]:
    """Return the instance's files; the last holds the password."""
    server = program.server
    certificate = certificate_files(settings, server.settings, program.folder, server.user)
    main = template(
        "redis-airflow.conf",
        settings=settings,
        addresses=listeners(settings, server),
        password=settings.secret("redis_password"),
        files=tuple(certificate),
        program=program,
    )
    secret = File(main, group=server.user, mode="640", secret=True)
    return {**certificate, program.configuration: secret}


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


def checks(settings: Settings, program: Program = PROGRAM) -> Iterator[Row]:
    """Ask it, with Airflow's password."""
    stdin = StringIO(settings.secret("redis_password"))
    said = look(Pinged, stdin, port=settings.redis_port, tls=bool(settings.redis_tls))
    right = said == "+PONG"
    yield row(program.server.name, right, "answers" if right else said or "no answer")


@operation()
def absent(settings: Settings, *, program: Program = PROGRAM, force: bool = False) -> Commands:
    """Stop our instance for good and remove its configuration with the password; its data stays."""
    name, unit = program.server.name, program.server.unit
    have = look(Units, watched=(Watched(unit, "/", ()),)).get(unit, NO_UNIT)
    files = look(Paths, paths=program.made)
    if not (have.active or have.enabled or files):
        host.noop(f"this package has set up no {name} here")
        return
    if not force and stays(name, settings.redis_port):
        host.noop(f"{name} is still in use")
        return
    host.log(f"{program.data} keeps what {name} has stored", logger.info)
    yield f"systemctl disable -q --now {unit}"
    yield StringCommand("rm -rf", *map(QuoteString, program.made), "&& systemctl daemon-reload")
