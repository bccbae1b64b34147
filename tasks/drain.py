"""Let a host's Celery worker finish what it runs, and stop it: before a reboot, or its removal."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from .airflow import unit_name
from .deploys import deploy
from .facts import NO_UNIT, PROBE, Units, Watched, look
from .operations import Commands
from .settings import Settings


@deploy("Drain")
def deploy_drain(settings: Settings | None = None) -> None:
    """Drain the host's worker and stop it; does nothing on a host without one.

    No task is killed: when some still run after ``airflow_drain_timeout`` the step names them and
    fails, and the worker goes on with them and takes no others. ``deploy_services`` starts a
    stopped worker again.
    """
    settings = Settings.of(host, settings)
    worker = settings.release.component("worker")
    if worker in settings.airflow_components:
        drained(
            name="Let the worker finish its tasks, and stop it",
            unit=unit_name(worker),
            queues=settings.queues,
            within=settings.airflow_drain_timeout,
        )


@operation()
def drained(unit: str, queues: Sequence[str], within: int) -> Commands:
    """Stop a worker once it has no task any more."""
    watched = Watched(unit, "/", ())
    if not look(Units, watched=(watched,)).get(unit, NO_UNIT).active:
        host.noop(f"{unit} does not run")
        return
    script = PROBE.replace("airflow_probe.py", "airflow_drain.py")
    yield StringCommand(script, str(within), *map(QuoteString, queues))
    yield f"systemctl stop {unit}"
