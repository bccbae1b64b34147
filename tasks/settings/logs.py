"""Logs and old runs: how long they are kept, and where."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .packages import Packages
from .types import Connection, RemoteLogs


class Logs(Packages):
    """Logs and old runs: how long they are kept, and where."""

    airflow_log_days: Annotated[int, Field(ge=1, le=36500)] | None = None
    """Days that tasks' logs are kept; default: forever."""
    airflow_scheduler_log_days: Annotated[int, Field(ge=1, le=36500)] = 14
    """Days that DAG processing logs are kept."""
    airflow_journal_size: Annotated[int, Field(ge=16, le=1048576)] | None = None
    """Size limit in MiB of the journal on a host with Airflow; default: the host's own."""
    airflow_remote_logs: RemoteLogs | None = None
    """URL that tasks' logs are copied to and read from: `s3://BUCKET/PATH`, `gs://`, `wasb://`."""
    airflow_remote_logs_connection: Connection | None = None
    """Airflow connection with the login for it; default: the hosts' own permissions."""
    airflow_metadata_days: Annotated[int, Field(ge=1, le=36500)] | None = None
    """Days that runs and everything about them stay in the database; default: forever."""


def _unfit_remote_logs(logs: Logs) -> str | None:
    url, release = logs.airflow_remote_logs, logs.release
    if url is None:
        return logs.airflow_remote_logs_connection and (
            "airflow_remote_logs_connection is set without airflow_remote_logs: set that too"
        )
    extras = release.remote_logs.get(url.partition("://")[0], ())
    if extras and not set(extras).isdisjoint(logs.extras):
        return None
    if extras:
        return f"airflow_remote_logs needs {' or '.join(extras)} in airflow_extras"
    known = ", ".join(f"{scheme}://" for scheme in release.remote_logs)
    return f"airflow_remote_logs can't be used: Airflow {release.version} knows {known}"


CHECKS = (_unfit_remote_logs,)
