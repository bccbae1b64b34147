"""The whole stack: the components in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyinfra import host
from pyinfra.api.operation import OperationMeta

from . import (
    airflow,
    dags,
    firewall,
    housekeeping,
    monitoring,
    python,
    reports,
    servers,
    system,
)
from .airflow import configuration, deploy_airflow, deploy_database, deploy_services
from .backup import backed_up
from .connection import held, send_at_once
from .dags import deploy_dags, deploy_dags_check
from .facts import HostSystem
from .firewall import deploy_firewall, deploy_less_guard
from .foreign import deploy_foreign
from .guard import deploy_mark, guarded, held_in, holds_nothing
from .housekeeping import deploy_housekeeping
from .leftovers import deploy_no_leftovers
from .look import Look, ask_expected, expect, look
from .monitoring import deploy_monitoring
from .objects import deploy_objects
from .operations import as_wanted, barrier
from .pgbouncer import deploy_pgbouncer
from .postgresql import deploy_less_access, deploy_postgresql
from .proxy import deploy_proxy
from .python import deploy_environment, deploy_link, in_use
from .rabbitmq import deploy_fewer_queues, deploy_rabbitmq
from .redis import deploy_redis
from .reports import deploy_reports
from .servers import deploy_absent, leaving
from .settings import Settings
from .survey import Site
from .system import deploy_system, of_this_host
from .upgrade import deploy_arrived, deploy_leaving, deploy_stopped, release_before


def deploy_stack(
    settings: Settings | None = None, *, replacing: Mapping[str, Site] | None = None
) -> None:
    """Deploy every component that the inventory gives this host; ``settings`` default to its data.

    SettingsError says what is wrong with them, or what on the hosts forbids the run, before
    anything is changed. ``replacing`` is what was seen there by a deploy that has consent to
    replace what the database holds, which is backed up first.
    """
    send_at_once()
    alone = settings is not None
    settings = Settings.of(host, settings)
    settings.check_placed(host.name)
    sites = replacing or guarded(settings, alone=alone)
    gone = leaving(settings, sites[host.name].seen.servers)
    settings = of_this_host(settings)
    expect(_looks(settings))
    ask_expected()
    held(name="Lock the host for this run")
    checked = settings.airflow_dags_check == "refuse" and _as_the_dags_will_find_it(settings)
    if checked:
        deploy_dags_check(settings)
    deploy_mark(settings)
    deploy_no_leftovers(settings, sites[host.name].seen)
    deploy_system(settings)
    deploy_firewall(settings, leaving=gone)
    if "postgresql" in settings.topology.components:
        deploy_postgresql(settings, keep_access=True)
    if "pgbouncer" in settings.topology.components:
        deploy_pgbouncer(settings)
    broker = []
    if "rabbitmq" in settings.topology.components:
        broker = deploy_rabbitmq(settings)
    if "redis" in settings.topology.components:
        deploy_redis(settings)
    deploy_monitoring(settings, broker=broker)
    barrier(name="Wait for the database and the broker")
    stored = held_in(sites)
    changed: list[OperationMeta] = []
    before = None
    if settings.airflow_components:
        before = release_before(settings)
        environment = deploy_environment(settings)
        if before:
            deploy_leaving(settings, environment.path)
        elif stored and stored.older(settings.airflow_version):
            deploy_stopped(settings)
        changed = [environment.made, deploy_link(environment)]
        deploy_airflow(settings)
        changed += deploy_dags(settings, checked=checked)
    if settings.topology.database_here:
        deploy_foreign(settings)
        if replacing and stored and stored.used and not sites[host.name].seen.current:
            backed_up(name="Back up what will be replaced", release=stored.release)
        deploy_database(settings, stored=stored, empty=holds_nothing(sites), kept=bool(before))
        deploy_objects(settings)
    barrier(name="Wait for the schema")
    if settings.airflow_components or look(HostSystem).release:
        deploy_services(settings, changed=changed)
    if settings.airflow_components:
        deploy_housekeeping(settings)
    deploy_reports(settings)
    barrier(name="Wait for the services")
    deploy_proxy(settings)
    if before:
        deploy_arrived(settings)
    if "postgresql" in settings.topology.components:
        deploy_less_access(settings)
    if "rabbitmq" in settings.topology.components:
        deploy_fewer_queues(settings)
    if gone:
        deploy_absent(settings, gone)
        deploy_less_guard(settings, gone)


def _looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of all components ask, as far as that follows from the settings."""
    yield from system.looks(settings)
    yield from firewall.looks(settings)
    yield from servers.looks(settings)
    yield from monitoring.looks(settings)
    if settings.airflow_components:
        yield from python.looks(settings)
        yield from airflow.looks(settings)
        yield from dags.looks(settings)
        yield from housekeeping.looks(settings)
    yield from reports.looks(settings)


def _as_the_dags_will_find_it(settings: Settings) -> bool:
    """Return whether DAGs find on the host, before it is changed, what they are to find."""
    return bool(settings.airflow_components) and (
        in_use(settings) and as_wanted(configuration(settings))
    )
