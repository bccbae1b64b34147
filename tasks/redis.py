"""Redis as the broker: an instance of Airflow's own, beside which Debian's does not run."""

from __future__ import annotations

from . import releases
from .deploys import deploy
from .facts import Watched
from .guard import guard_alone
from .operations import File, Folder, place, running
from .resources import template
from .settings import Settings
from .system import certificate_files, debs_here, of_this_host, packages

UNIT = "redis-server@airflow.service"
"""Of the template in Debian's package, whose instances write below /var/lib/redis alone."""
_FOLDER = "/etc/redis"
CONFIGURATION = f"{_FOLDER}/redis-airflow.conf"
DATA = "/var/lib/redis/airflow"
MADE = (
    CONFIGURATION,
    DATA,
    *(f"{_FOLDER}/airflow.{kind}" for kind in ("crt", "key")),
    f"/etc/systemd/system/{UNIT}.d",
)
"""What is there of it."""


@deploy("Redis")
def deploy_redis(settings: Settings | None = None) -> None:
    """Install Redis with a password, persistent and for the inventory's hosts alone."""
    settings = of_this_host(settings)
    guard_alone(settings, "redis")
    packages(
        name="Install Redis",
        packages=releases.APT["redis"],
        debs=debs_here(settings),
        # Debian's own instance asks nobody for a password.
        masked="redis-server.service",
    )
    files = configuration(settings)
    place({DATA: Folder("redis", "redis", "750"), **files})
    running(
        name="Run Redis",
        watched=Watched(UNIT, "/run/redis-airflow/redis-server.pid", tuple(files)),
        texts={path: file.text for path, file in files.items()},
    )


def configuration(settings: Settings) -> dict[str, File]:
    """Give the instance's files; the first holds the password."""
    certificate = certificate_files(settings, "redis", _FOLDER, "redis")
    main = template(
        "redis-airflow.conf",
        settings=settings,
        addresses=listeners(settings),
        password=settings.secret("redis_password"),
        files=tuple(certificate),
        data=DATA,
    )
    return {**certificate, CONFIGURATION: File(main, group="redis", mode="640", secret=True)}


def listeners(settings: Settings) -> tuple[str, ...]:
    """Give the addresses that Redis listens on: the host's only where others need it."""
    others = settings.topology.hosts or settings.redis_allow
    return ("127.0.0.1", settings.topology.address) if others else ("127.0.0.1",)
