"""Airflow's files on a host: helper scripts, commands and configuration."""

from __future__ import annotations

from collections.abc import Iterable

from ..before.guard import guard_alone
from ..deploys import deploy
from ..host.files import File, place
from ..host.machine import of_this_host
from ..resources import helper_file, helper_names, template
from ..settings import BACKUPS, CONFIGURATION, ENVIRONMENT, Settings
from ..settings.places import PROXY_SITE
from . import reports
from .configuration import configuration
from .units import every_unit

IMPORTED = helper_names("imported")
"""Files that Airflow's processes may import, by airflow.cfg."""
CALLED = helper_names("called")
"""Those that are called by their names, and what they alone import."""
_DATABASES = "airflow_sql.py"
"""What both kinds open databases with."""
CANARY = "verify_workers"
"""The DAG with a task for each worker."""


@deploy("Airflow")
def deploy_airflow(settings: Settings | None = None) -> None:
    """Configure Airflow on a host and give administrators the ``airflow`` command."""
    settings = of_this_host(settings)
    guard_alone(settings)
    place(files(settings))


def files(settings: Settings) -> dict[str, File]:
    """Return what `deploy_airflow` writes."""
    release = settings.release
    library = library_files((release.login_script, *IMPORTED, *release.helpers))
    own = {**tools(settings), **_canary(settings), **reports.reporter(settings)}
    return {**library, **own, **configuration(settings)}


def library_files(names: Iterable[str]) -> dict[str, File]:
    """Return files of ``files/host`` as they are on a host."""
    return {f"{ENVIRONMENT}/lib/{name}": File(helper_file(name).read_text()) for name in names}


def tools(settings: Settings) -> dict[str, File]:
    """Return the commands of administrators and of this package, which fit every release."""
    folders = {"configuration": CONFIGURATION, "environment": ENVIRONMENT, "folder": BACKUPS}
    everybody = {
        f"{ENVIRONMENT}/bin/as-airflow": template("as-airflow", **folders),
        "/usr/local/bin/airflow": template("airflow", **folders),
    }
    given = {"settings": settings, "site": PROXY_SITE, "units": sorted(every_unit()), **folders}
    roots = {
        f"{ENVIRONMENT}/bin/{name}": template(name, **given) for name in ("backup", "previous")
    }
    return {
        **library_files((_DATABASES, *CALLED)),
        **{path: File(text, mode="755") for path, text in everybody.items()},
        **{path: File(text, mode="700") for path, text in roots.items()},
    }


def _canary(settings: Settings) -> dict[str, File]:
    """Return the DAG that has a task for each worker."""
    text = template("verify_workers.py", workers=settings.topology.workers)
    path = f"{settings.airflow_home}/dags/{CANARY}.py"
    return {path: File(text, group="airflow", mode="640")}
