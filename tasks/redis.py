"""Redis as the broker: an instance of Airflow's own, beside which Debian's does not run."""

from __future__ import annotations

from .catalog.servers import REDIS
from .deploys import deploy
from .endpoints import listeners
from .facts import Watched
from .guard import guard_alone
from .operations import File, Folder, place, running
from .resources import template
from .settings import Settings
from .system import certificate_files, debs_here, of_this_host, packages

_FOLDER = "/etc/redis"
CONFIGURATION = f"{_FOLDER}/redis-airflow.conf"
DATA = "/var/lib/redis/airflow"
MADE = (
    CONFIGURATION,
    DATA,
    *(f"{_FOLDER}/airflow.{kind}" for kind in ("crt", "key")),
    f"/etc/systemd/system/{REDIS.unit}.d",
)
"""What is there of it."""


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
        watched=Watched(REDIS.unit, "/run/redis-airflow/redis-server.pid", tuple(files)),
        texts={path: file.text for path, file in files.items()},
    )


def configuration(settings: Settings) -> dict[str, File]:
    """Give the instance's files; the first holds the password."""
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
