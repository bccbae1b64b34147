"""The whole stack: the components in the order in which they need each other."""

from __future__ import annotations

from pyinfra import host

from .airflow import deploy_airflow, deploy_database, deploy_services
from .connection import held, send_at_once
from .dags import deploy_dags
from .firewall import deploy_firewall
from .operations import barrier
from .postgresql import deploy_postgresql
from .python import deploy_python
from .rabbitmq import deploy_rabbitmq
from .settings import Settings
from .system import deploy_system


def deploy_stack(settings: Settings | None = None) -> None:
    """Deploy every component that the inventory gives this host; ``settings`` default to its data.

    SettingsError says in one sentence what is wrong with them.
    """
    send_at_once()
    settings = Settings.of(host, settings)
    settings.check_placed(host.name)
    held(name="Hold the host for this run")
    deploy_system(settings)
    deploy_firewall(settings)
    if "postgresql" in settings.topology.components:
        deploy_postgresql(settings)
    if "rabbitmq" in settings.topology.components:
        deploy_rabbitmq(settings)
    barrier(name="Wait for the database and the broker")
    if settings.airflow_components:
        changed = deploy_python(settings)
        deploy_airflow(settings)
        deploy_dags(settings)
    if settings.topology.database_here:
        deploy_database(settings)
    barrier(name="Wait for the schema")
    if settings.airflow_components:
        deploy_services(settings, changed=changed)
