"""A new Fernet key in place of the old one, with everything encrypted again."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import operation

from ..airflow.services import deploy_services
from ..airflow.tools import deploy_airflow
from ..before.guard import deploy_mark, guarded
from ..deploys import deploy
from ..host.connection import held
from ..host.steps import Commands, barrier
from ..run import any_failed, executing
from ..settings import Settings, SettingsError, secrets

KEY = "airflow_fernet_key"
_NEXT = f"{KEY}_next"
"""What the file of secrets calls the new key until it is used."""


@deploy("Fernet key")
def deploy_fernet_key_rotation(settings: Settings | None = None) -> None:
    """Replace the Fernet key on all hosts, and encrypt the stored secrets with the new one.

    The services restart twice. An interrupted rotation is completed by the next call; until
    then both keys work. SettingsError if the key was not generated, or if the release supports only
    one key.
    """
    settings = Settings.of(host, settings)
    if not settings.release.rotate_key:
        raise SettingsError(
            f"Airflow {settings.airflow_version} supports only one Fernet key: upgrade it first"
        )
    file = settings.secrets_file(host)
    old = settings.secret(KEY)
    if secrets.kept(file, KEY) != old:
        raise SettingsError(
            f"{KEY} is set by hand: set it to the new key, a comma and the old one, deploy, run"
            f" `airflow {settings.release.rotate_key}`, and set it to the new one alone"
        )
    new = old.partition(",")[0] if "," in old else secrets.next_key(file, _NEXT)
    both = old if "," in old else f"{new},{old}"
    guarded(settings)
    held(name="Lock the host for this run")
    key_replaced(name="Save both keys", file=file, old=old, new=both)
    _deploy(settings, both)
    barrier(name="Wait until every host has both keys")
    if settings.topology.database_here:
        encrypted(name="Encrypt with the new key", command=settings.release.rotate_key)
    barrier(name="Wait until the old key is no longer needed")
    key_replaced(name="Keep only the new key", file=file, old=both, new=new)
    _deploy(settings, new)


def _deploy(settings: Settings, key: str) -> None:
    with_key = settings.model_copy(update={KEY: SecretStr(key)})
    deploy_mark(with_key)
    if settings.airflow_components:
        deploy_airflow(with_key)
        deploy_services(with_key)


@operation()
def key_replaced(file: Path, old: str, new: str) -> Commands:
    """Replace a key in the file of secrets, once for all hosts."""
    if any_failed():
        yield "echo 'another host has failed, so the key is not changed' >&2; false"
        return
    if executing():
        secrets.replace(file, KEY, old, new)
        secrets.forget(file, _NEXT)
    host.noop("the key is kept")


@operation()
def encrypted(command: str) -> Commands:
    """Have Airflow decrypt with any key and encrypt again with the first."""
    yield f"airflow {command}"
