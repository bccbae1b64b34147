"""Back up an Airflow while it works: its database, keys, DAGs and configuration."""

from __future__ import annotations

import os
from pathlib import Path

from pyinfra import host, logger
from pyinfra.api import FileDownloadCommand, QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from ..deploys import deploy
from ..host.steps import Commands
from ..settings import ENVIRONMENT, Settings, secrets

LENT = "/var/backups/airflow-lent"
"""Where a backup is on a host while the SSH user, and nobody else, reads or writes it."""


@deploy("Backup")
def deploy_backup(settings: Settings | None = None) -> None:
    """Back up the Airflow of an inventory while it works, and fetch the file to this machine.

    The host keeps it too, in /var/backups/airflow, which only root reads.
    """
    settings = Settings.of(host, settings)
    if not settings.topology.database_here:
        return
    folder = settings.airflow_backup_folder or _folder()
    made = backed_up(name="Back up Airflow")
    lent(name="Let the SSH user read the backup", made=made)
    fetched(name=f"Fetch the backup to {folder}", folder=folder, made=made, _sudo=False)
    taken_back(name="Remove the SSH user's copy of the backup")


def _folder() -> Path:
    """Find the place for backups beside the one for secrets."""
    return secrets.default_file(host.groups).parent.with_name(".backups")


@operation()
def backed_up(release: str = "") -> Commands:
    """Make a backup on the host, which prints its name.

    ``release`` is that of the database, where it is not the environment's.
    """
    yield f"{ENVIRONMENT}/bin/backup" + (f" --release {release}" if release else "")


@operation()
def folder_to_lend() -> Commands:
    """Create a folder that only the SSH user may use."""
    yield f'rm -rf {LENT} && install -d -m 700 -o "${{SUDO_USER:-root}}" {LENT}'


@operation()
def lent(made: OperationMeta) -> Commands:
    """Copy a backup for the SSH user alone: with sudo, pyinfra would make it world-readable."""
    for line in made.stderr_lines if made.is_complete() else ():
        host.log(line, logger.warning)
    yield from folder_to_lend._inner()
    name = QuoteString(made.stdout_lines[-1] if made.is_complete() else "")
    yield StringCommand('install -m 600 -o "${SUDO_USER:-root}"', name, f"{LENT}/backup.tar")


@operation()
def fetched(folder: Path, made: OperationMeta) -> Commands:
    """Fetch the lent backup, readable by its owner alone."""
    secrets.private_folder(folder)
    target = folder / Path(made.stdout_lines[-1] if made.is_complete() else "").name
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o600))
    yield FileDownloadCommand(f"{LENT}/backup.tar", str(target))


@operation()
def taken_back() -> Commands:
    """Remove the lent folder."""
    yield f"rm -rf {LENT}"
