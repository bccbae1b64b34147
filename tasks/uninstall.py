"""Remove what the other deploys have set up, and data only on request."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from . import firewall, housekeeping, monitoring, pgbouncer, proxy, redis, reports, repository
from .airflow import every_unit
from .connection import held
from .deploys import deploy
from .facts import (
    FIREWALL_RULES,
    PSQL,
    SWAP_FILE,
    Contents,
    FirewallTable,
    HostSystem,
    PostgresqlContents,
    RabbitmqDefinitions,
    UserAccount,
    Watched,
)
from .guard import guard_removal
from .look import look
from .operations import Commands, absent, edited, units_absent
from .rabbitmq import broker_user_absent, metrics_absent
from .settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings
from .survey import MARKED
from .system import DELIVERED, host_names, journal

_UNITS = (
    *sorted(every_unit()),
    *housekeeping.UNITS,
    *repository.UNITS,
    *monitoring.UNITS,
    firewall.UNIT,
)
_FILES = (
    ENVIRONMENT,
    "/usr/local/bin/airflow",
    *reports.MADE,
    monitoring.STATSD,
    FIREWALL_RULES,
    firewall.NEW_RULES,
    SWAP_FILE,
    DELIVERED,
)


@deploy("Uninstall")
def deploy_uninstall(settings: Settings | None = None) -> None:
    """Stop Airflow and remove its services, environments and commands.

    Data stays: databases, DAGs, logs and keys, with the servers that hold it. With
    ``airflow_uninstall_data`` it is removed too. Backups and apt packages always stay.
    SettingsError if that would remove what this package did not set up.
    """
    settings = Settings.of(host, settings)
    guard_removal(settings)
    held(name="Lock the host for this run")
    units = tuple(Watched(unit, "/", ()) for unit in _UNITS)
    units_absent(name="Stop and remove the services", units=units)
    rules_absent(name="Remove the firewall rules")
    metrics_absent(name="Disable RabbitMQ's metrics")
    proxy.absent(name="Remove the proxy", settings=settings)
    swap_absent(name=f"Remove the swap file {SWAP_FILE}")
    journal(name="Remove the journal's size limit", mebibytes=None)
    absent(name="Remove the environments and commands", paths=_FILES)
    host_names(name="Remove the other hosts' names from /etc/hosts", lines=())
    if not settings.airflow_uninstall_data:
        return
    absent(
        name="Remove DAGs, logs and keys",
        paths=(settings.airflow_home, LOGS, CONFIGURATION, repository.HOME, MARKED),
    )
    for user in host.loop(("airflow", repository.USER, monitoring.USER)):
        account_absent(name=f"Remove the user {user}", user=user)
    if "postgresql" in settings.topology.components:
        pgbouncer.absent(name="Remove PgBouncer", settings=settings, force=True)
        names = tuple(each.name for each in settings.databases)
        every = (*(each.user for each in settings.databases), monitoring.USER)
        databases_absent(name="Drop the databases", databases=names, roles=every)
    if "rabbitmq" in settings.topology.components:
        vhost_absent(name="Delete the virtual host", vhost=settings.rabbitmq_vhost)
        broker_user_absent(name="Delete the broker's user", user=settings.rabbitmq_user)
    if "redis" in settings.topology.components:
        redis.absent(name="Stop Redis", settings=settings, force=True)
        absent(name="Remove Redis's data", paths=(redis.DATA,))


@operation()
def rules_absent() -> Commands:
    """Remove our table of nftables."""
    if not host.get_fact(FirewallTable):
        host.noop("this package has loaded no rules here")
        return
    yield "nft delete table inet pyinfra_airflow"


@operation()
def swap_absent() -> Commands:
    """Remove our swap file, now and after a reboot."""
    have = look(HostSystem)
    rest = [line for line in have.fstab if line.split()[:1] != [SWAP_FILE]]
    if have.swap_file:
        yield f"swapoff {SWAP_FILE}"
    if len(rest) < len(have.fstab):
        yield from edited("/etc/fstab", rest, ours=True)
    elif not have.swap_file:
        host.noop(f"{SWAP_FILE} is not used")


@operation()
def account_absent(user: str) -> Commands:
    """Remove a user."""
    if not look(UserAccount, user=user):
        host.noop(f"there is no user {user}")
        return
    yield StringCommand("userdel", QuoteString(user))


@operation()
def databases_absent(databases: Sequence[str], roles: Sequence[str]) -> Commands:
    """Drop databases and the roles that owned them."""
    have = look(PostgresqlContents, roles=tuple(roles)) or Contents()
    drops = [f'DROP DATABASE "{name}";' for name in databases if name in have.databases]
    drops += [f'DROP ROLE "{role}";' for role in roles if role in have.roles]
    if not drops:
        host.noop("there are none")
        return
    yield StringCommand(PSQL, "-f -", _stdin="\n".join(drops))


@operation()
def vhost_absent(vhost: str) -> Commands:
    """Delete a virtual host of the broker with its queues."""
    have = look(RabbitmqDefinitions) or {}
    if vhost not in [known["name"] for known in have.get("vhosts", ())]:
        host.noop(f"there is no virtual host {vhost}")
        return
    yield StringCommand("rabbitmqctl -q delete_vhost", QuoteString(vhost), "</dev/null")
