"""The metrics exporters of a host. Pure."""

from __future__ import annotations

from ..catalog.servers import EXPORTERS, POSTGRESQL_EXPORTER, Server
from .endpoints import listeners, port
from .inventory import Settings


def here(settings: Settings) -> list[Server]:
    """Return the exporters of this host."""
    return [each for each in EXPORTERS if each.group in settings.topology.components]


def address(settings: Settings) -> str:
    """Return the address at which this host's metrics are."""
    return listeners(settings, POSTGRESQL_EXPORTER)[0]


def ports(settings: Settings) -> dict[Server, int]:
    """Return the ports of this host's metrics."""
    return {exporter: port(settings, exporter.ports[0]) for exporter in here(settings)}
