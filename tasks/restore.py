"""Restore a backup: onto fresh hosts, or over an Airflow whose data may be replaced."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import FileUploadCommand, QuoteString, StringCommand, operation

from .airflow.database import deploy_database
from .airflow.helpers import helper
from .airflow.objects import deploy_objects
from .airflow.services import deploy_services
from .airflow.units import unit_name
from .before.guard import guarded
from .before.survey import Site, everywhere
from .catalog import releases
from .day_two.backup import LENT, backed_up, folder_to_lend, taken_back
from .day_two.keys import KEY, key_replaced
from .deploys import deploy
from .host.connection import held
from .host.steps import Commands, barrier
from .settings import BACKUPS, Settings, SettingsError, secrets
from .stack import deploy_stack


@dataclass(frozen=True)
class Archive:
    """A backup on this machine."""

    path: Path
    version: str
    """The release of Airflow that it is of."""
    fernet_key: str = field(repr=False)
    host: str = ""
    """The name of the host that has made it; empty where that is not known."""

    @classmethod
    def read(cls, path: Path | None) -> Archive:
        """Read what a backup is of; SettingsError when it is none."""
        if path is None:
            raise SettingsError("airflow_restore is empty: set it to the file of a backup")
        try:
            with tarfile.open(path) as tar:
                version, keys = _text(tar, "version"), _text(tar, "secrets.env")
                environment = _text(tar, "airflow.env") if "airflow.env" in tar.getnames() else ""
        except (OSError, KeyError, tarfile.TarError) as error:
            raise SettingsError(f"airflow_restore {path} is not a backup: {error}") from None
        key, name = (
            _value(keys, "AIRFLOW__CORE__FERNET_KEY"),
            _value(environment, "AIRFLOW_HOSTNAME"),
        )
        return cls(path, version.strip(), key, name)


def _value(text: str, variable: str) -> str:
    found = re.search(rf'^{variable}="(.*)"$', text, re.MULTILINE)
    return found[1] if found else ""


def _text(tar: tarfile.TarFile, name: str) -> str:
    stream = tar.extractfile(name)
    return stream.read().decode() if stream else ""


@deploy("Restore")
def deploy_restore(settings: Settings | None = None) -> None:
    """Deploy the stack, and restore the backup ``airflow_restore``.

    The Fernet key comes from the backup; all other settings are the inventory's, and its DAGs win.
    A backup of an older release is migrated to the inventory's. SettingsError if an Airflow
    would lose its data; with ``airflow_restore_over`` the data is backed up first.
    """
    alone = settings is not None
    settings = Settings.of(host, settings)
    archive = Archive.read(settings.airflow_restore)
    if sentence := releases.no_way(archive.version, settings.airflow_version):
        raise SettingsError(f"airflow_restore {archive.path}: {sentence}")
    sites = everywhere(settings, alone=alone)
    used = _used(sites)
    if used and not settings.airflow_restore_over:
        raise SettingsError(
            f"{used} has an Airflow with data, or one that can't be asked: set"
            " airflow_restore_over = True to replace the data, after a backup"
        )
    guarded(settings, alone=alone, replacing=True)
    held(name="Lock the host for this run")
    if used and settings.topology.database_here and sites[host.name].seen.current:
        backed_up(name="Back up what will be replaced")
    settings = _with_key(settings, archive)
    deploy_stack(settings, replacing=sites)
    if not settings.airflow_components:
        return
    units = [unit_name(component) for component in settings.airflow_components]
    stop = stopped(name="Stop Airflow", units=units)
    folder_to_lend(name="Create a folder for the backup")
    sent(name=f"Send {archive.path}", path=archive.path, _sudo=False)
    barrier(name="Wait until Airflow is stopped")
    if settings.topology.database_here:
        database_restored(name="Restore the database", units=units)
        if settings.airflow_restore_paused and archive.host not in settings.topology.known:
            name = archive.host or "the host of the backup"
            dags_paused(name=f"Pause the DAGs, which {name} may still run")
    files_restored(name="Restore the DAGs and plugins", home=settings.airflow_home)
    taken_back(name="Remove the SSH user's copy of the backup")
    if settings.topology.database_here:
        deploy_database(settings, kept=True)
        deploy_objects(settings)
    barrier(name="Wait for the database")
    deploy_services(settings, changed=[stop])


def _used(sites: Mapping[str, Site]) -> str:
    """Return the name of the host whose database has data worth keeping, or can't be asked.

    A run without the database's host knows nothing of it.
    """
    asked = [name for name, site in sites.items() if site.holds_database]
    used = [n for n in asked if sites[n].seen.unknown or ((s := sites[n].seen.stored) and s.used)]
    return used[0] if used else "" if asked else host.name


def _with_key(settings: Settings, archive: Archive) -> Settings:
    """Use the backup's Fernet key, without which its connections can't be read."""
    own = settings.secret(KEY)
    if archive.fernet_key in ("", own):
        return settings
    file = settings.secrets_file(host)
    if secrets.kept(file, KEY) != own:
        raise SettingsError(
            f"{KEY} is not the one of {archive.path}: leave it out, or set it to the key in the"
            " backup's secrets.env"
        )
    key_replaced(name="Save the backup's Fernet key", file=file, old=own, new=archive.fernet_key)
    return settings.model_copy(update={KEY: SecretStr(archive.fernet_key)})


@operation()
def sent(path: Path) -> Commands:
    """Send a backup into the lent folder."""
    yield FileUploadCommand(str(path), f"{LENT}/backup.tar")


@operation()
def stopped(units: list[str]) -> Commands:
    """Stop units, however long a worker's tasks may take by its own settings."""
    yield f"systemctl stop {' '.join(units)}"


@operation()
def database_restored(units: list[str]) -> Commands:
    """Replace the database by the backup's, or leave it and start the services again."""
    yield (
        f"umask 077; tar -C {LENT} -xf {LENT}/backup.tar database.dump"
        f" && {helper('airflow_database.py')} restore < {LENT}/database.dump"
        f" || {{ systemctl start --no-block {' '.join(units)}; false; }}"
    )


@operation()
def dags_paused() -> Commands:
    """Pause every DAG, and keep the names of those that were active."""
    yield (
        f"umask 077; mkdir -p {BACKUPS} && {helper('airflow_database.py')} pause"
        f" >> {BACKUPS}/active-dags.txt"
    )


@operation()
def files_restored(home: str) -> Commands:
    """Add the backup's DAGs and plugins to those that the inventory has delivered."""
    yield StringCommand(
        "tar -xf", f"{LENT}/backup.tar", "-C", QuoteString(home), "--skip-old-files dags plugins"
    )
