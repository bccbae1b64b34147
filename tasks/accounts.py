"""The accounts that a host's components create, or take over from an earlier run. Pure."""

from __future__ import annotations

from . import monitoring, repository
from .settings import Settings


def accounts(settings: Settings) -> dict[str, str]:
    """Return the accounts of this host: name -> home."""
    found = {}
    if settings.airflow_components:
        found["airflow"] = settings.airflow_home
    if settings.airflow_dags_repository and settings.reads_dags:
        found[repository.USER] = repository.HOME
    if any(exporter.packages for exporter in monitoring.here(settings)):
        found[monitoring.USER] = monitoring.HOME
    return found
