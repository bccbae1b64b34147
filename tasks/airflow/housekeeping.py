"""What a host does every night: back up, and remove old logs and runs."""

from __future__ import annotations

from collections.abc import Iterator

from pyinfra import host

from ..deploys import deploy
from ..host.files import File, place
from ..host.found import Paths
from ..host.look import Look
from ..host.units import Units, timer, watched_by_files
from ..resources import template
from ..settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings

TIMER = "airflow-nightly.timer"
_SERVICE = "airflow-nightly.service"
UNITS = (TIMER, _SERVICE)


@deploy("Housekeeping")
def deploy_housekeeping(settings: Settings | None = None) -> None:
    """Have the host back up and clean up at ``airflow_nightly_at``; needs ``deploy_airflow``.

    Runs and tasks' logs are removed only where ``airflow_metadata_days`` and ``airflow_log_days``
    ask for it. A failure is reported like that of any unit.
    """
    texts = _texts(Settings.of(host, settings))
    place({path: File(text) for path, text in texts.items()})
    timer(name=f"Run {TIMER}", unit=TIMER, texts=texts, units=UNITS)


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_housekeeping` ask."""
    texts = _texts(settings)
    yield Look.of(Paths, paths=tuple(texts))
    yield Look.of(Units, watched=watched_by_files(UNITS, texts))


def _texts(settings: Settings) -> dict[str, str]:
    folders = {"configuration": CONFIGURATION, "environment": ENVIRONMENT, "logs": LOGS}
    return {
        f"/etc/systemd/system/{unit}": template(unit, settings=settings, **folders)
        for unit in UNITS
    }
