"""Hosts that exist in an inventory only."""

from pathlib import Path
from typing import Any

from pyinfra.api import Config, Host, Inventory, State

from tasks.catalog.releases import GROUPS
from tasks.catalog.servers import EXPORTERS
from tasks.settings import Settings
from tasks.settings.budget import Machine, fitted

MACHINE = Machine(memory=8192, swap=0, most_swap=1 << 40, cores=2)


def host(groups: dict[str, list[str]], name: str, **data: Any) -> Host:
    """Give the host ``name`` of an inventory in which every host has ``data``."""
    names = list(dict.fromkeys(member for members in groups.values() for member in members))
    inventory = Inventory((names, data), **{group: (hosts, {}) for group, hosts in groups.items()})
    State(inventory, Config())
    return inventory.get_host(name)


def everything(name: str) -> dict[str, list[str]]:
    """Give the groups of an inventory with one host, RabbitMQ as broker, and nothing in between."""
    others = ("redis", "valkey", "pgbouncer", "proxy", *(each.group for each in EXPORTERS))
    return {group: [name] for group in GROUPS if group not in others}


def settings(secrets: Path, **data: Any) -> Settings:
    """Read the settings of one made-up host that runs everything, with the memory of MACHINE."""
    unfitted = Settings.of(
        host(everything("192.0.2.10"), "192.0.2.10", airflow_secrets_file=secrets, **data)
    )
    return fitted(unfitted, MACHINE)
