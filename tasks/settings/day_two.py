"""Backups, restores, and what needs consent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .part import Part
from .types import ExistingPath, PrintablePath


class DayTwo(Part):
    """Backups, restores, and what needs consent."""

    airflow_nightly_at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "03:30"
    """When a host backs up and cleans up, by its clock."""
    airflow_backup_keep: Annotated[int, Field(ge=0, le=1000)] = 7
    """Nightly backups that are kept in /var/backups/airflow; 0 for none."""
    airflow_backup_folder: PrintablePath | None = None
    """Where `deploy_backup` fetches to; default: `.backups` beside the inventory."""
    airflow_restore: ExistingPath | None = None
    """Backup on the controller that `deploy_restore` brings back."""
    airflow_restore_over: bool = False
    """Consent to replace the data of an Airflow that has some; they are backed up first."""
    airflow_restore_paused: bool = True
    """Whether DAGs from a backup of other hosts are paused, since those may still run them."""
    airflow_adopt: bool = False
    """Consent to use files, units, servers and a database that another Airflow has left there."""
    airflow_uninstall_data: bool = False
    """Consent of `deploy_uninstall` to remove databases, DAGs, logs and keys; backups stay."""
