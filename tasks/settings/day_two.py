"""Backups, restores, and what needs consent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .part import Part
from .types import ExistingPath, PrintablePath


class DayTwo(Part):
    """Backups, restores, and what needs consent."""

    airflow_nightly_at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "03:30"
    """Time at which a host backs up and cleans up every night, by its own clock."""
    airflow_backup_keep: Annotated[int, Field(ge=0, le=1000)] = 7
    """Number of nightly backups that are kept in /var/backups/airflow; 0 for none."""
    airflow_backup_folder: PrintablePath | None = None
    """Folder that `deploy_backup` fetches to; default: `.backups` next to the inventory."""
    airflow_restore: ExistingPath | None = None
    """Backup on the controller that `deploy_restore` restores."""
    airflow_restore_over: bool = False
    """Consent to replace an Airflow's existing data; it is backed up first."""
    airflow_restore_paused: bool = True
    """Whether DAGs from another host's backup are paused, since it may still run them."""
    airflow_adopt: bool = False
    """Consent to take over files, units, servers and a database left by another Airflow."""
    airflow_uninstall_data: bool = False
    """Consent of `deploy_uninstall` to remove databases, DAGs, logs and keys; backups stay."""
