"""Let a host's Celery worker finish its tasks, and stop it: before a reboot or its removal."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from ..airflow.helpers import helper
from ..airflow.units import unit_name, unit_path
from ..deploys import deploy
from ..host.look import look
from ..host.steps import Commands
from ..host.units import NO_UNIT, Units, Watched
from ..settings import Settings


@deploy("Drain")
def deploy_drain(settings: Settings | None = None) -> None:
    """Drain the host's worker and stop it; does nothing on a host without one.

    No task is killed: if some still run after ``airflow_drain_timeout``, the step fails and names
    them, and the worker continues with them but takes no others. ``deploy_services`` starts a
    stopped worker again.
    """
    settings = Settings.of(host, settings)
    worker = settings.release.component("worker")
    if worker in settings.airflow_components:
        drained(
            name="Let the worker finish its tasks, and stop it",
            watched=Watched(unit_name(worker), "/", (unit_path(worker),)),
            queues=settings.queues,
            within=settings.airflow_drain_timeout,
        )


@operation()
def drained(watched: Watched, queues: Sequence[str], within: int) -> Commands:
    """Stop a worker once it has no task any more."""
    if not look(Units, watched=(watched,)).get(watched.unit, NO_UNIT).active:
        host.noop(f"{watched.unit} is not running")
        return
    yield StringCommand(helper("airflow_drain.py"), str(within), *map(QuoteString, queues))
    yield f"systemctl stop {watched.unit}"
