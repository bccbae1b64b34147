"""What a host does every night by itself: backups, and room for new logs and runs."""

from __future__ import annotations

from collections.abc import Mapping

from pyinfra import host
from pyinfra.api import operation

from .deploys import deploy
from .facts import NO_UNIT, Units, Watched, look
from .operations import Commands, File, digest, place
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
    timer(name=f"Run {TIMER}", unit=TIMER, texts=texts)


@operation()
def timer(unit: str, texts: Mapping[str, str]) -> Commands:
    """Run a timer, enabled, and started anew when its files have changed."""
    found = look(Units, watched=tuple(Watched(each, "/", tuple(texts)) for each in UNITS))
    have = found.get(unit, NO_UNIT)
    same = all(have.digests.get(path) == digest(text) for path, text in texts.items())
    stale = any(each.stale for each in found.values())
    if have.active and have.enabled and not stale and same:
        host.noop(f"{unit} runs")
        return
    yield "systemctl daemon-reload"
    yield f"systemctl enable -q {unit} && systemctl restart {unit}"
