"""DAGs and plugins, in AIRFLOW_HOME."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from .part import Part
from .types import AbsolutePath, ExistingPath, Lines, Revision, Secret, Subfolder

_ADDRESS = re.compile(r"(?:(?P<scheme>https|ssh|file)://|[\w.-]+@[\w.-]+:)[\w.:/@~+-]+")


class Dags(Part):
    """DAGs and plugins, in AIRFLOW_HOME."""

    airflow_home: AbsolutePath = "/var/lib/airflow"
    """AIRFLOW_HOME on the hosts."""
    airflow_dags: ExistingPath | None = None
    """Folder of DAGs on the controller, delivered to `dags` in AIRFLOW_HOME."""
    airflow_dags_check: Literal["report", "refuse"] = "report"
    """What happens when DAG files don't import: `report` them, or `refuse` the run."""
    airflow_dags_repository: str | None = None
    """git repository of DAGs by https, ssh or file: `repository` in the folder of DAGs."""
    airflow_dags_revision: Revision = ""
    """Branch, tag or full commit hash of the repository; default: its HEAD."""
    airflow_dags_subfolder: Subfolder = ""
    """Folder of the repository that has the DAGs; default: its top."""
    airflow_dags_interval: Annotated[int, Field(ge=0, le=604800)] = 0
    """Seconds between a host's checks for new commits; 0: only deploys bring them."""
    airflow_dags_deploy_key: Secret | None = None
    """Private key for the repository by ssh, as text."""
    airflow_dags_known_hosts: Lines = ()
    """Lines of `known_hosts` for the repository's server by ssh, as a list or one text."""
    airflow_plugins: ExistingPath | None = None
    """Folder of plugins on the controller, delivered to `plugins` in AIRFLOW_HOME."""

    @property
    def dags_link(self) -> str:
        """Where Airflow sees the DAGs of the repository."""
        return f"{self.airflow_home}/dags/repository"


def _without_repository(dags: Dags) -> str | None:
    if dags.airflow_dags_repository is not None:
        return None
    of_it = {
        "airflow_dags_revision": dags.airflow_dags_revision,
        "airflow_dags_subfolder": dags.airflow_dags_subfolder,
        "airflow_dags_interval": dags.airflow_dags_interval,
        "airflow_dags_deploy_key": dags.airflow_dags_deploy_key,
        "airflow_dags_known_hosts": dags.airflow_dags_known_hosts,
    }
    given = next((name for name, value in of_it.items() if value), None)
    return given and f"{given} does nothing without airflow_dags_repository"


def _unfit_address(dags: Dags) -> str | None:
    url = dags.airflow_dags_repository
    if url and re.match(r"(https?|file)://[^/]*@|ssh://[^/]*:.*@", url):
        return (
            "airflow_dags_repository holds a login, which others on the host could read: use "
            "its ssh address and airflow_dags_deploy_key"
        )
    if url is not None and not _ADDRESS.fullmatch(url):
        return (
            "airflow_dags_repository can't be used: give an address of git that begins "
            "with https://, ssh:// or file://, or is like git@host:path"
        )
    return None


def _unfit_ssh(dags: Dags) -> str | None:
    address = _ADDRESS.fullmatch(dags.airflow_dags_repository or "")
    if address is None or address["scheme"] not in (None, "ssh"):
        return None
    if not dags.airflow_dags_known_hosts:
        return (
            "airflow_dags_repository by ssh needs airflow_dags_known_hosts: set it to what "
            "ssh-keyscan prints for its server, once you have compared that with what its owner"
            " publishes"
        )
    if "PRIVATE KEY" not in dags.secret("airflow_dags_deploy_key"):
        return (
            "airflow_dags_repository by ssh needs airflow_dags_deploy_key: set it to the text "
            "of a private key without a passphrase"
        )
    return None


def _unchecked_commits(dags: Dags) -> str | None:
    if dags.airflow_dags_interval and dags.airflow_dags_check == "refuse":
        return (
            "airflow_dags_interval would bring what airflow_dags_check = 'refuse' has refused: "
            "set it to 0"
        )
    return None


def _folder_in_the_way(dags: Dags) -> str | None:
    folder = dags.airflow_dags
    if dags.airflow_dags_repository and folder and (folder / "repository").exists():
        return (
            f"airflow_dags {folder} has an entry `repository`, which is where "
            "airflow_dags_repository appears: rename it"
        )
    return None


CHECKS = (_without_repository, _unfit_address, _unfit_ssh, _unchecked_commits, _folder_in_the_way)
