"""What a host does every night by itself: backups, and room for new logs and runs."""

from __future__ import annotations

from pyinfra import host

from .deploys import deploy
from .operations import File, place, timer
from .resources import template
from .settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings

TIMER = "airflow-nightly.timer"
_SERVICE = "airflow-nightly.service"
UNITS = (TIMER, _SERVICE)


@deploy("Housekeeping")
def deploy_housekeeping(settings: Settings | None = None) -> None:
    """Have the host back up and clean up at ``airflow_nightly_at``; it needs ``deploy_airflow``.

    Runs and tasks' logs are removed only where ``airflow_metadata_days`` and ``airflow_log_days``
    ask for it. A failure is reported as that of any unit.
    """
    settings = Settings.of(host, settings)
    texts = {
        f"/etc/systemd/system/{unit}": template(
            unit,
            settings=settings,
            configuration=CONFIGURATION,
            environment=ENVIRONMENT,
            logs=LOGS,
        )
        for unit in UNITS
    }
    place({path: File(text) for path, text in texts.items()})
    timer(name=f"Run {TIMER}", unit=TIMER, texts=texts, among=UNITS)
