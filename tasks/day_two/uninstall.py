"""Remove what the other deploys have set up, and data only on request."""

from __future__ import annotations

from pyinfra import host

from ..airflow import housekeeping, reports, repository
from ..airflow.units import every_unit
from ..before.guard import guard_removal
from ..before.survey import MARKED
from ..deploys import deploy
from ..host.connection import held
from ..host.files import absent
from ..host.machine import SWAP_FILE
from ..host.packages import DELIVERED
from ..host.system import account_absent, host_names, journal, swap_absent
from ..host.units import Watched, units_absent
from ..servers import firewall, monitoring, pgbouncer, proxy
from ..servers.firewall import rules_absent
from ..servers.offers import OFFERS
from ..servers.postgresql import databases_absent
from ..servers.rabbitmq import broker_user_absent, metrics_absent, vhost_absent
from ..settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings, accounts
from ..settings.places import FIREWALL_RULES

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
        paths=(settings.airflow_home, LOGS, CONFIGURATION, accounts.DAGS_HOME, MARKED),
    )
    for user in host.loop(("airflow", accounts.DAGS, accounts.METRICS)):
        account_absent(name=f"Remove the user {user}", user=user)
    if "postgresql" in settings.topology.components:
        pgbouncer.absent(name="Remove PgBouncer", settings=settings, force=True)
        names = tuple(each.name for each in settings.databases)
        every = (*(each.user for each in settings.databases), accounts.METRICS)
        databases_absent(name="Drop the databases", databases=names, roles=every)
    if "rabbitmq" in settings.topology.components:
        vhost_absent(name="Delete the virtual host", vhost=settings.rabbitmq_vhost)
        broker_user_absent(name="Delete the broker's user", user=settings.rabbitmq_user)
    for server in host.loop(list(OFFERS)):
        if OFFERS[server].data and server.group in settings.topology.components:
            OFFERS[server].absent(name=f"Stop {server.name}", settings=settings, force=True)
            absent(name=f"Remove the data of {server.name}", paths=OFFERS[server].data)
