"""The whole stack: the components in the order in which they need each other."""

from __future__ import annotations

from pyinfra import host

from .airflow import deploy_airflow, deploy_database, deploy_services
from .connection import held, send_at_once
from .dags import deploy_dags
from .firewall import deploy_firewall
from .housekeeping import deploy_housekeeping
from .operations import barrier
from .postgresql import deploy_less_access, deploy_postgresql
from .proxy import deploy_proxy
from .python import deploy_environment, deploy_link
from .rabbitmq import deploy_rabbitmq
from .settings import Settings
from .system import deploy_system, of_this_host
from .upgrade import deploy_arrived, deploy_leaving, release_before


def deploy_stack(settings: Settings | None = None) -> None:
    """Deploy every component that the inventory gives this host; ``settings`` default to its data.

    SettingsError says in one sentence what is wrong with them.
    """
    send_at_once()
    settings = Settings.of(host, settings)
    settings.check_placed(host.name)
    settings = of_this_host(settings)
    held(name="Hold the host for this run")
    deploy_system(settings)
    deploy_firewall(settings)
    if "postgresql" in settings.topology.components:
        deploy_postgresql(settings, keep_access=True)
    if "rabbitmq" in settings.topology.components:
        deploy_rabbitmq(settings)
    barrier(name="Wait for the database and the broker")
    if settings.airflow_components:
        before = release_before(settings)
        environment = deploy_environment(settings)
        if before:
            deploy_leaving(settings, environment.path)
        changed = [environment.made, deploy_link(environment)]
        deploy_airflow(settings)
        deploy_dags(settings)
    if settings.topology.database_here:
        deploy_database(settings)
    barrier(name="Wait for the schema")
    if settings.airflow_components:
        deploy_services(settings, changed=changed)
        deploy_housekeeping(settings)
    barrier(name="Wait for the services")
    deploy_proxy(settings)
    if settings.airflow_components and before:
        deploy_arrived(settings)
    if "postgresql" in settings.topology.components:
        deploy_less_access(settings)
