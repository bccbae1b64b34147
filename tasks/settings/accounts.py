"""The accounts that a host's components create, or take over from an earlier run. Pure."""

from __future__ import annotations

from ..catalog.servers import STATSD_EXPORTER
from . import exporters
from .inventory import Settings

METRICS = STATSD_EXPORTER.user
"""Who the exporters run as, and the role that PostgreSQL knows by that."""
METRICS_HOME = "/nonexistent"

DAGS_HOME = "/var/lib/airflow-dags"
DAGS = "airflow-dags"


def accounts(settings: Settings) -> dict[str, str]:
    """Return the accounts of this host: name -> home."""
    found = {}
    if settings.airflow_components:
        found["airflow"] = settings.airflow_home
    if settings.airflow_dags_repository and settings.reads_dags:
        found[DAGS] = DAGS_HOME
    if any(exporter.packages for exporter in exporters.here(settings)):
        found[METRICS] = METRICS_HOME
    return found
