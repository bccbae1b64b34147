"""Redis as the broker: an instance of Airflow's own, beside which Debian's does not run."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import operation

from . import releases
from .deploys import deploy
from .facts import AptPackages, Watched, look
from .operations import Commands, File, Folder, place, running
from .resources import template
from .settings import Settings
from .system import debs_here, of_this_host, packages

UNIT = "redis-server@airflow.service"
"""Of the template in Debian's package, whose instances write below /var/lib/redis alone."""
CONFIGURATION = "/etc/redis/redis-airflow.conf"
DATA = "/var/lib/redis/airflow"
(_PACKAGE,) = releases.APT["redis"]


@deploy("Redis")
def deploy_redis(settings: Settings | None = None) -> None:
    """Install Redis with a password, persistent and for the inventory's hosts alone."""
    settings = of_this_host(settings)
    no_open_instance(name="Keep Debian's open instance from running")
    packages(name="Install Redis", packages=releases.APT["redis"], debs=debs_here(settings))
    files = configuration(settings)
    place({DATA: Folder("redis", "redis", "750"), **files})
    running(
        name="Run Redis",
        watched=Watched(UNIT, "/run/redis-airflow/redis-server.pid", tuple(files)),
        texts={path: file.text for path, file in files.items()},
    )


def configuration(settings: Settings) -> dict[str, File]:
    """Give the instance's files; the first holds the password."""
    certificate = _certificate_files(settings)
    main = template(
        "redis-airflow.conf",
        settings=settings,
        addresses=listeners(settings),
        password=settings.secret("redis_password"),
        files=tuple(certificate),
        data=DATA,
    )
    return {**certificate, CONFIGURATION: File(main, group="redis", mode="640", secret=True)}


def _certificate_files(settings: Settings) -> dict[str, File]:
    certificate, key = settings.redis_certificate, settings.redis_certificate_key
    if not (settings.redis_tls and certificate and key):
        return {}
    return {
        "/etc/redis/airflow.crt": File(certificate.read_text()),
        "/etc/redis/airflow.key": File(key.read_text(), group="redis", mode="640", secret=True),
    }


def listeners(settings: Settings) -> tuple[str, ...]:
    """Give the addresses that Redis listens on: the host's only where others need it."""
    others = settings.topology.hosts or settings.redis_allow
    return ("127.0.0.1", settings.topology.address) if others else ("127.0.0.1",)


@operation()
def no_open_instance() -> Commands:
    """Mask the instance that Debian's package starts, which asks nobody for a password.

    One that was there before the package's install by us is somebody's, and left alone.
    """
    if _PACKAGE in look(AptPackages, packages=(_PACKAGE,)).installed:
        host.noop("the package is there")
        return
    yield "systemctl mask -q redis-server.service"
