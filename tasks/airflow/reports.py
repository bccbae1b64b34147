"""Reports of units that fail: of Airflow's services, and of the servers that it uses."""

from __future__ import annotations

from collections.abc import Iterator

from pyinfra import host

from ..catalog import servers
from ..deploys import deploy
from ..host.files import File, Folder, drop_in, place
from ..host.found import Paths
from ..host.look import Look
from ..host.machine import of_this_host
from ..resources import helper_file, template
from ..settings import CONFIGURATION, ENVIRONMENT, Settings
from ..settings.places import REPORT
from . import airflow_cfg

SCRIPT = "airflow_reports.py"
UNIT = "/etc/systemd/system/airflow-report@.service"
OWN_ENVIRONMENT = f"{CONFIGURATION}/reports.env"
"""What the reporter knows on a host without Airflow; elsewhere it reads what Airflow reads."""
STATE = "/var/lib/airflow-report"
"""Where such a host keeps what it has told."""
REPORTED = {each.group: each for each in servers.EVERY if each.reported}
"""Group -> server whose crashes are reported."""
DROP_INS = {
    group: f"/etc/systemd/system/{server.unit}.d/{REPORT}" for group, server in REPORTED.items()
}
"""Group -> the drop-in that makes the server's unit report its crashes."""
MADE = (UNIT, OWN_ENVIRONMENT, STATE, "/var/lib/private/airflow-report", *DROP_INS.values())
"""What is there of reports; systemd makes the private folder, to which STATE is a link."""


@deploy("Reports")
def deploy_reports(settings: Settings | None = None) -> None:
    """Report the crashes of a host's servers, if no Airflow there does so."""
    settings = of_this_host(settings)
    if settings.airflow_components or DROP_INS.keys().isdisjoint(settings.topology.components):
        return
    place(_alone(settings))
    drop_ins(settings)


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_reports` ask."""
    servers_here = DROP_INS.keys() & settings.topology.components
    if servers_here and not settings.airflow_components:
        yield Look.of(Paths, paths=tuple(_alone(settings)))
    yield Look.of(Paths, paths=tuple(DROP_INS[group] for group in sorted(servers_here)))


def _alone(settings: Settings) -> dict[str, File | Folder]:
    """Return what reports on a host without Airflow."""
    environment = airflow_cfg.environment_file(
        {"AIRFLOW_HOME": STATE, **airflow_cfg.reporter_environment(settings)}
    )
    return {
        **dict.fromkeys((ENVIRONMENT, f"{ENVIRONMENT}/lib"), Folder()),
        CONFIGURATION: Folder(mode="750"),
        f"{ENVIRONMENT}/lib/{SCRIPT}": File(helper_file(SCRIPT).read_text()),
        OWN_ENVIRONMENT: File(environment, mode="600", secret=True),
        **reporter(settings),
    }


def drop_ins(settings: Settings) -> None:
    """Have the servers of this host report."""
    for server in host.loop(DROP_INS):
        path = DROP_INS[server]
        if server in settings.topology.components:
            wanted = File(template(REPORT, revived=REPORTED[server].revived))
            drop_in(name=f"Write {path}", path=path, wanted=wanted)


def reporter(settings: Settings) -> dict[str, File]:
    """Return the unit that reports another one's failure."""
    text = template(
        "airflow-report@.service",
        settings=settings,
        configuration=CONFIGURATION,
        own_environment=OWN_ENVIRONMENT,
        environment=ENVIRONMENT,
        script=SCRIPT,
    )
    return {UNIT: File(text)}
