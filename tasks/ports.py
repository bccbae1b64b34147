"""The TCP ports that a host's components take, and whose processes may hold them already. Pure."""

from __future__ import annotations

from typing import NamedTuple

from . import monitoring
from .releases import PGBOUNCER, PROXY
from .settings import Settings


class Claim(NamedTuple):
    """A port that is wanted."""

    setting: str
    """What changes it."""
    units: tuple[str, ...]
    """Beginnings of the units whose processes may listen there."""


_SERVERS = {
    "postgresql": Claim("postgresql_port", ("postgresql",)),
    PGBOUNCER: Claim("pgbouncer_port", ("pgbouncer.",)),
    "rabbitmq": Claim("rabbitmq_port", ("rabbitmq-server.",)),
    "redis": Claim("redis_port", ("redis-server@airflow.",)),
}
_OURS = ("airflow-",)
OURS = (*_OURS, "nginx.", *(unit for claim in _SERVERS.values() for unit in claim.units))
"""Beginnings of all of our units."""


def claims(settings: Settings) -> dict[int, Claim]:
    """Give the ports of this host, by their numbers."""
    here = settings.topology.components
    found = {
        getattr(settings, claim.setting): claim
        for server, claim in _SERVERS.items()
        if server in here
    }
    if PROXY in here:
        names = {settings.proxy_port: "proxy_port", settings.proxy_http_port: "proxy_http_port"}
        found |= {port: Claim(names[port], ("nginx.",)) for port in settings.proxy_ports}
    for exporter, port in monitoring.ports(settings).items():
        units = _OURS if exporter.packages else ("rabbitmq-server.",)
        found[port] = Claim(f"monitoring_{exporter.what.lower()}_port", units)
    for setting in _of_airflow(settings):
        found[getattr(settings, setting)] = Claim(setting, _OURS)
    return found


def _of_airflow(settings: Settings) -> list[str]:
    """Name the settings of the ports on which this host's components of Airflow listen."""
    found = []
    for component in settings.airflow_components:
        if component.probe[0] in ("web", "flower", "health"):
            found.append(f"airflow_{component.probe[0]}_port")
        elif component.log_port and not settings.topology.web_here:
            found.append(component.log_port)
    return found
