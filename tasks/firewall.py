"""Close the ports between hosts to everybody else: the broker and the servers of task logs.

Neither asks from where it is asked, and Airflow 1's log server not even for a login. The rules
stand in an nftables table of their own, about these ports alone: SSH, the web UI and a firewall of
somebody else's are left as they are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from pyinfra import host
from pyinfra.api import operation
from pyinfra.api.operation import OperationMeta

from . import monitoring, releases
from .deploys import deploy
from .facts import FirewallTable, Watched
from .operations import Commands, File, place, running, will_have_changed
from .resources import template
from .settings import Settings
from .system import debs_here, packages

RULES = "/etc/airflow-firewall.nft"
UNIT = "airflow-firewall.service"


@deploy("Firewall")
def deploy_firewall(settings: Settings | None = None) -> None:
    """Let only the inventory's hosts to the ports that they need; does nothing on a single host."""
    settings = Settings.of(host, settings)
    ports, datagrams = allowed(settings), datagrams_allowed(settings)
    if not ports and not datagrams:
        return
    packages(name="Install nftables", packages=releases.APT["firewall"], debs=debs_here(settings))
    texts = {
        RULES: template("airflow-firewall.nft", ports=ports, datagrams=datagrams),
        f"/etc/systemd/system/{UNIT}": template("airflow-firewall.service", rules=RULES),
    }
    place({path: File(text) for path, text in texts.items()})
    watched = Watched(UNIT, "/run/airflow-firewall/started", tuple(texts))
    ran = running(name="Load the rules", watched=watched, texts=texts)
    rules_loaded(name="Keep the rules loaded", unit=UNIT, loading=ran)


def allowed(settings: Settings) -> dict[int, dict[str, list[str]]]:
    """Give for each guarded port of this host who may come: port -> family -> addresses."""
    topology = settings.topology
    web = [address for address in topology.web_hosts if address != topology.address]
    wanted: dict[int, Iterable[str]] = {}
    if "rabbitmq" in topology.components and (topology.hosts or settings.rabbitmq_allow):
        wanted[settings.rabbitmq_port] = (*topology.hosts, *settings.rabbitmq_allow)
    if "redis" in topology.components and (topology.hosts or settings.redis_allow):
        wanted[settings.redis_port] = (*topology.hosts, *settings.redis_allow)
    for component in settings.airflow_components:
        if component.log_port and not topology.web_here:
            wanted[getattr(settings, component.log_port)] = web
    if settings.monitoring_allow:
        scrapers = settings.monitoring_allow
        wanted.update(dict.fromkeys(monitoring.ports(settings).values(), scrapers))
    return {port: _by_family(addresses) for port, addresses in wanted.items()}


def datagrams_allowed(settings: Settings) -> dict[int, dict[str, list[str]]]:
    """Give the same for UDP: Airflow's hosts send their metrics by it."""
    if monitoring.STATSD_EXPORTER not in monitoring.here(settings) or not settings.topology.hosts:
        return {}
    return {settings.monitoring_statsd_port: _by_family(settings.topology.hosts)}


def _by_family(addresses: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for address in addresses:
        found.setdefault(_family(address), []).append(address)
    return found


def _family(address: str) -> str:
    """Give nft's word for an address; it looks a name up for IPv4."""
    try:
        return "ip" if ipaddress.ip_network(address, strict=False).version == 4 else "ip6"
    except ValueError:
        return "ip"


@operation()
def rules_loaded(unit: str, *, loading: OperationMeta) -> Commands:
    """Load the firewall's rules again after somebody has flushed them."""
    if will_have_changed([loading]) or host.get_fact(FirewallTable):
        host.noop("the rules are loaded")
        return
    yield f"systemctl restart {unit}"
