"""What each server's module offers to callers that handle all servers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from pyinfra import host
from pyinfra.api.operation import OperationMeta

from ..catalog import servers
from ..catalog.servers import Server
from ..deploys import deploy
from ..host.look import Look
from ..host.rows import Row
from ..settings import Settings
from . import pgbouncer, postgresql, proxy, rabbitmq, redis


@dataclass(frozen=True)
class Offer:
    """What a server's module offers."""

    looks: Callable[[Settings], Iterator[Look]]
    """What its steps ask."""
    checks: Callable[[Settings], Iterator[Row]]
    """Looks at it for `deploy_verify`."""
    absent: Callable[..., OperationMeta]
    """Stops it for good, and keeps its data; it stays where somebody still uses it."""
    data: tuple[str, ...] = ()
    """Folders of Airflow's data alone, which an uninstall removes when it is told to."""


OFFERS: Mapping[Server, Offer] = {
    # Those first that use others.
    servers.PROXY: Offer(proxy.looks, proxy.checks, proxy.absent),
    servers.PGBOUNCER: Offer(pgbouncer.looks, pgbouncer.checks, pgbouncer.absent),
    servers.REDIS: Offer(redis.looks, redis.checks, redis.absent, (redis.PROGRAM.data,)),
    servers.VALKEY: Offer(
        partial(redis.looks, program=redis.VALKEYS_PROGRAM),
        partial(redis.checks, program=redis.VALKEYS_PROGRAM),
        partial(redis.absent, program=redis.VALKEYS_PROGRAM),
        (redis.VALKEYS_PROGRAM.data,),
    ),
    servers.RABBITMQ: Offer(rabbitmq.looks, rabbitmq.checks, rabbitmq.absent),
    servers.POSTGRESQL: Offer(postgresql.looks, postgresql.checks, postgresql.absent),
}


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of every server of this host ask."""
    for server, offer in OFFERS.items():
        if server.group in settings.topology.components:
            yield from offer.looks(settings)


def checks(settings: Settings) -> Iterator[Row]:
    """Look at every server of this host."""
    for server, offer in OFFERS.items():
        if server.group in settings.topology.components:
            yield from offer.checks(settings)


def leaving(settings: Settings, present: Collection[str]) -> list[Server]:
    """Return the servers of ours that are ``present`` on a host, by group, and not wanted there."""
    wanted = settings.topology.components
    return [each for each in OFFERS if each.group in present and each.group not in wanted]


def replaced(settings: Settings, gone: Collection[Server]) -> list[Server]:
    """Return those of the servers that are ``gone`` whose port another one takes over."""
    here = [each for each in OFFERS if each.group in settings.topology.components]
    wanted = {each.settings for each in here}
    return [each for each in gone if each.settings in wanted]


@deploy("Servers")
def deploy_replaced(settings: Settings, gone: Collection[Server]) -> None:
    """Stop the servers that are ``gone``, used or not, before another one takes over the port."""
    for server in host.loop(list(OFFERS)):
        if server in gone:
            name = f"Stop {server.name}, whose port another server takes over"
            OFFERS[server].absent(name=name, settings=settings, force=True)


@deploy("Servers")
def deploy_absent(settings: Settings, gone: Collection[Server]) -> None:
    """Stop the servers that are ``gone`` from the inventory, and keep their data."""
    for server in host.loop(list(OFFERS)):
        if server in gone:
            name = f"Stop {server.name}, which no longer belongs on this host"
            OFFERS[server].absent(name=name, settings=settings)
