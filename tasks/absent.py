"""Servers that the inventory no longer gives a host: stopped once nobody uses them; data stay."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from pyinfra import host
from pyinfra.api.operation import OperationMeta

from . import pgbouncer, postgresql, proxy, rabbitmq, redis
from .catalog import servers
from .catalog.servers import Server
from .deploys import deploy
from .settings import Settings

_ABSENT: Mapping[Server, Callable[..., OperationMeta]] = {
    # Those first that use others.
    servers.PROXY: proxy.absent,
    servers.PGBOUNCER: pgbouncer.absent,
    servers.REDIS: redis.absent,
    servers.RABBITMQ: rabbitmq.absent,
    servers.POSTGRESQL: postgresql.absent,
}


def leaving(settings: Settings, present: Collection[str]) -> list[Server]:
    """Return the servers of ours that are ``present`` on a host, by group, and not wanted there."""
    wanted = settings.topology.components
    return [each for each in _ABSENT if each.group in present and each.group not in wanted]


@deploy("Servers")
def deploy_absent(settings: Settings, gone: Collection[Server]) -> None:
    """Stop the servers that are ``gone`` from the inventory, and keep their data."""
    for server in host.loop(list(_ABSENT)):
        if server in gone:
            name = f"Stop {server.name}, which the inventory no longer has here"
            _ABSENT[server](name=name, settings=settings)
