"""The whole stack: the components in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pyinfra import host
from pyinfra.api.operation import OperationMeta

from .airflow import dags, housekeeping, python, reports, services
from .airflow.configuration import configuration
from .airflow.dags import deploy_dags, deploy_dags_check
from .airflow.database import deploy_database
from .airflow.external import deploy_foreign
from .airflow.housekeeping import deploy_housekeeping
from .airflow.objects import deploy_objects
from .airflow.python import deploy_environment, deploy_link, in_use
from .airflow.reports import deploy_reports
from .airflow.services import deploy_services
from .airflow.tools import deploy_airflow
from .before.guard import deploy_mark, guarded, held_in, holds_nothing
from .before.leftovers import deploy_no_leftovers
from .before.stored import Stored
from .before.survey import Site
from .catalog.servers import Server
from .day_two.backup import backed_up
from .day_two.upgrade import deploy_arrived, deploy_leaving, deploy_stopped, release_before
from .host import system
from .host.connection import held, send_at_once
from .host.files import as_wanted
from .host.look import Look, ask_expected, expect, look
from .host.machine import HostSystem, of_this_host
from .host.steps import barrier
from .host.system import deploy_system
from .servers import firewall, monitoring, offers
from .servers.firewall import deploy_firewall, deploy_less_guard
from .servers.monitoring import deploy_monitoring
from .servers.offers import deploy_absent, deploy_replaced, leaving, replaced
from .servers.pgbouncer import deploy_pgbouncer
from .servers.postgresql import deploy_less_access, deploy_postgresql
from .servers.proxy import deploy_proxy
from .servers.rabbitmq import deploy_fewer_queues, deploy_rabbitmq
from .servers.redis import deploy_redis
from .settings import Settings


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
    _deploy_servers(settings, gone)
    barrier(name="Wait for the database and the broker")
    stored = held_in(sites)
    changed, before = _deploy_release(settings, stored, checked=checked)
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
    _deploy_less(settings, gone)


def _deploy_servers(settings: Settings, gone: Collection[Server]) -> None:
    """Deploy this host's servers."""
    if now := replaced(settings, gone):
        deploy_replaced(settings, now)
    if "postgresql" in settings.topology.components:
        deploy_postgresql(settings, keep_access=True)
    if "pgbouncer" in settings.topology.components:
        deploy_pgbouncer(settings)
    broker = []
    if "rabbitmq" in settings.topology.components:
        broker = deploy_rabbitmq(settings)
    if not settings.topology.components.isdisjoint(("redis", "valkey")):
        deploy_redis(settings)
    deploy_monitoring(settings, broker=broker)


def _deploy_release(
    settings: Settings, stored: Stored | None, *, checked: bool
) -> tuple[list[OperationMeta], str | None]:
    """Deploy the release and its DAGs.

    Return the steps after which services have to restart, and the release before an upgrade.
    """
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
    return changed, before


def _deploy_less(settings: Settings, gone: Collection[Server]) -> None:
    """Remove access, queues and servers that are no longer needed."""
    if "postgresql" in settings.topology.components:
        deploy_less_access(settings)
    if "rabbitmq" in settings.topology.components:
        deploy_fewer_queues(settings)
    now = replaced(settings, gone)
    if left := [each for each in gone if each not in now]:
        deploy_absent(settings, left)
        deploy_less_guard(settings, left)


def _looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of all components ask, as far as that follows from the settings."""
    yield from system.looks(settings)
    yield from firewall.looks(settings)
    yield from offers.looks(settings)
    yield from monitoring.looks(settings)
    if settings.airflow_components:
        yield from python.looks(settings)
        yield from services.looks(settings)
        yield from dags.looks(settings)
        yield from housekeeping.looks(settings)
    yield from reports.looks(settings)


def _as_the_dags_will_find_it(settings: Settings) -> bool:
    """Return whether DAGs find on the host, before it is changed, what they are to find."""
    return bool(settings.airflow_components) and (
        in_use(settings) and as_wanted(configuration(settings))
    )
