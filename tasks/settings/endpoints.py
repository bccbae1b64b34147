"""Who listens where on a host, and who may come: for servers, firewall, checks and docs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..addresses import EVERYBODY, EVERYWHERE, is_loopback
from ..catalog import servers
from ..catalog.model import Component
from ..catalog.servers import AIRFLOW_UNITS, Role, Server
from .model import Model

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Endpoint:
    """A port of a host."""

    setting: str
    """What chooses the port."""
    port: int
    listen: tuple[str, ...]
    """The addresses that are listened on."""
    clients: tuple[str, ...]
    """Addresses and networks that may come, beside the host itself."""
    units: tuple[str, ...]
    """How the units begin whose processes listen there."""
    guarded: bool = False
    """Whether the firewall keeps others away even where it leaves the other ports open."""
    protocol: str = "tcp"

    @property
    def open_to_others(self) -> tuple[str, ...]:
        """Return the addresses at which other hosts reach it."""
        return tuple(each for each in self.listen if not is_loopback(each.strip()))


def endpoints(settings: Model) -> list[Endpoint]:
    """Return every port of this host."""
    here = settings.topology.components
    of_servers = (_of_server(settings, each) for each in servers.EVERY if each.group in here)
    of_airflow = (_of_component(settings, each) for each in settings.airflow_components)
    return [endpoint for each in (*of_servers, *of_airflow) for endpoint in each]


def listeners(settings: Model, server: Server) -> tuple[str, ...]:
    """Return the addresses that a server listens on: the host's only where others need it."""
    own = settings.topology.address
    others = bool(clients(settings, server))
    if server is servers.POSTGRESQL and settings.postgresql_listen_addresses is not None:
        return tuple(settings.postgresql_listen_addresses.split(","))
    if server is servers.POSTGRESQL:
        return ("localhost", own) if others else ("localhost",)
    if server is servers.RABBITMQ and settings.rabbitmq_bind_address is not None:
        own, others = settings.rabbitmq_bind_address, True
    if server.role is Role.PROXY:
        return EVERYWHERE
    if server.role is Role.EXPORTER:
        return (own,) if others else (LOOPBACK,)
    if not others:
        return (LOOPBACK,)
    # Loopback too, for Airflow on the same host.
    return (own,) if own in EVERYWHERE or is_loopback(own) else (LOOPBACK, own)


def clients(settings: Model, server: Server) -> tuple[str, ...]:
    """Return the addresses and networks that may come to a server from elsewhere."""
    if server.role is Role.PROXY:
        return EVERYBODY
    if server.role is Role.EXPORTER:
        return tuple(settings.monitoring_allow)
    own = (
        settings.topology.direct_hosts if server.role is Role.DATABASE else settings.topology.hosts
    )
    given = settings.servers.get(server.settings)
    return (*own, *(given.allow if given else ()))


def port(settings: Model, setting: str) -> int:
    """Return the port that a setting chooses."""
    chosen: int = getattr(settings, setting)
    return chosen


def _of_server(settings: Model, server: Server) -> Iterator[Endpoint]:
    come = clients(settings, server)
    # PostgreSQL asks by itself who comes from where, and the proxy is for everybody.
    guarded = bool(come) and server.role not in (Role.DATABASE, Role.PROXY)
    for setting in server.ports:
        number = port(settings, setting)
        if server.role is Role.PROXY and number not in settings.proxy_ports:
            continue
        listen = listeners(settings, server)
        yield Endpoint(setting, number, listen, come, server.listens, guarded)
    if server is servers.STATSD_EXPORTER:
        yield _statsd(settings)


def _statsd(settings: Model) -> Endpoint:
    """Airflow's hosts send their metrics to it."""
    hosts = settings.topology.hosts
    name = "monitoring_statsd_port"
    listen = (settings.topology.statsd or LOOPBACK,)
    return Endpoint(
        *(name, settings.monitoring_statsd_port, listen, hosts, AIRFLOW_UNITS),
        guarded=bool(hosts),
        protocol="udp",
    )


def _of_component(settings: Model, component: Component) -> Iterator[Endpoint]:
    kind, topology = component.probe[0], settings.topology
    if kind == "web":
        behind = bool(topology.proxies)
        come = topology.web_clients if behind else EVERYBODY
        guarded = behind and not is_loopback(settings.airflow_web_host)
        yield _airflow(settings, "airflow_web_port", "airflow_web_host", come, guarded)
    elif kind == "flower":
        yield _airflow(settings, "airflow_flower_port", "airflow_flower_host", EVERYBODY)
    elif kind == "health":
        yield _airflow(settings, "airflow_health_port", "airflow_web_host", EVERYBODY)
    elif component.log_port and not topology.web_here:
        web = tuple(each for each in topology.web_hosts if each != topology.address)
        number = port(settings, component.log_port)
        yield Endpoint(component.log_port, number, ("*",), web, AIRFLOW_UNITS, True)


def _airflow(
    settings: Model,
    setting: str,
    listens_at: str,
    come: tuple[str, ...],
    guarded: bool = False,
) -> Endpoint:
    address: str = getattr(settings, listens_at)
    come = () if is_loopback(address) else come
    number = port(settings, setting)
    return Endpoint(setting, number, (address,), come, AIRFLOW_UNITS, guarded)
