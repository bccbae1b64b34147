"""Reports of units that fail: of Airflow's services, and of the servers that it uses."""

from __future__ import annotations

from pyinfra import host

from . import airflow_cfg
from .catalog import servers
from .deploys import deploy
from .facts import REPORT
from .operations import File, Folder, drop_in, place
from .resources import helper_file, template
from .settings import CONFIGURATION, ENVIRONMENT, Settings
from .system import of_this_host

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
    """Report the crashes of a host's servers where it runs no Airflow, whose deploys do it else."""
    settings = of_this_host(settings)
    if settings.airflow_components or DROP_INS.keys().isdisjoint(settings.topology.components):
        return
    script = f"{ENVIRONMENT}/lib/{SCRIPT}"
    environment = airflow_cfg.environment_file(
        {"AIRFLOW_HOME": STATE, **airflow_cfg.reporter_environment(settings)}
    )
    wanted: dict[str, File | Folder] = {
        **dict.fromkeys((ENVIRONMENT, f"{ENVIRONMENT}/lib"), Folder()),
        CONFIGURATION: Folder(mode="750"),
        script: File(helper_file(SCRIPT).read_text()),
        OWN_ENVIRONMENT: File(environment, mode="600", secret=True),
        **reporter(settings),
    }
    among = (*wanted, *DROP_INS.values())
    place(wanted, among=among)
    drop_ins(settings, among=among)


def drop_ins(settings: Settings, *, among: tuple[str, ...]) -> None:
    """Have the servers of this host report. ``among`` are the paths of one look."""
    for server in host.loop(DROP_INS):
        path = DROP_INS[server]
        if server in settings.topology.components:
            wanted = File(template(REPORT, revived=REPORTED[server].revived))
            drop_in(name=f"Write {path}", path=path, wanted=wanted, among=among)


def reporter(settings: Settings) -> dict[str, File]:
    """Give the unit that reports another one's failure."""
    text = template(
        "airflow-report@.service",
        settings=settings,
        configuration=CONFIGURATION,
        own_environment=OWN_ENVIRONMENT,
        environment=ENVIRONMENT,
        script=SCRIPT,
    )
    return {UNIT: File(text)}
