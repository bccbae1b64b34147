"""What another Airflow has left on a host and would affect ours: reported, disabled by consent."""

from __future__ import annotations

from pyinfra import host, logger
from pyinfra.api import QuoteString, StringCommand, operation

from ..catalog.servers import PROXY
from ..deploys import deploy
from ..host.files import copied
from ..host.steps import Commands
from ..settings import Settings
from .survey import Seen

_CRONTABS = "/var/spool/cron/crontabs/"
_LOGROTATE = "/etc/logrotate.d/"
_COMMENT = "-E '/^[^#]*airflow/s/^/# /'"


@deploy("Leftovers")
def deploy_no_leftovers(settings: Settings, seen: Seen) -> None:
    """Report what another Airflow has left on a host that is not ours yet.

    With ``airflow_adopt`` its jobs are disabled, and sites that bypass the proxy are removed;
    copies are kept.
    """
    if seen.current or not settings.airflow_components:
        return
    ends = settings.airflow_adopt
    jobs = [path for path in seen.mentions if ends and not path.startswith(_LOGROTATE)]
    sites = [path for path in seen.sites if ends and PROXY.group in settings.topology.components]
    for path in seen.mentions:
        if path not in jobs:
            host.log(
                f"{path} mentions Airflow: make sure that it does not affect this one"
                " (airflow_metadata_days and airflow_log_days clean up)",
                logger.warning,
            )
    for path in seen.sites:
        if path not in sites:
            host.log(
                f"{path} leads to the web UI's port and bypasses the proxy: remove it",
                logger.warning,
            )
    if jobs:
        jobs_ended(name=f"Disable jobs that mention Airflow in {', '.join(jobs)}", paths=jobs)
    if sites:
        sites_ended(name=f"Remove {', '.join(sites)}, which bypass the proxy", paths=sites)


@operation()
def jobs_ended(paths: list[str]) -> Commands:
    """Comment their lines out in crontabs, make scripts non-executable, and disable timers."""
    for path in paths:
        yield from copied(path)
        yield _ended(path)


def _ended(path: str) -> StringCommand:
    file, name = QuoteString(path), QuoteString(path.rpartition("/")[2])
    if path.startswith(_CRONTABS):
        return StringCommand("sed", _COMMENT, file, "| crontab -u", name, "-")
    if path.endswith(".timer"):
        return StringCommand("systemctl disable -q --now", name)
    if path.startswith(("/etc/crontab", "/etc/cron.d/")):
        return StringCommand("sed -i", _COMMENT, file)
    return StringCommand("chmod a-x", file)


@operation()
def sites_ended(paths: list[str]) -> Commands:
    """Remove sites of nginx, and have it reload the rest."""
    for path in paths:
        yield from copied(path)
    yield StringCommand(
        "rm", *map(QuoteString, paths), "&& systemctl try-reload-or-restart nginx.service"
    )
