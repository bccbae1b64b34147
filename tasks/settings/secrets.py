"""Secrets: given by the user, or generated once and kept on the controller. Never shown.

They stand in a JSON file of mode 0600, in a folder ``.secrets`` beside the inventory that git
ignores by itself.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets as dice
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pyinfra.api.exceptions import DeployError

from ..catalog import servers


class SecretsError(DeployError):
    """A file of secrets can't be used; the message names it."""


def fernet_key() -> str:
    """Return a new Fernet key: 32 random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(dice.token_bytes(32)).decode()


def password() -> str:
    """Return a new password of 32 letters and digits: 160 bits, safe in every URL and shell."""
    return dice.token_hex(20)


GENERATORS: Mapping[str, Callable[[], str]] = {
    "airflow_admin_password": password,
    "airflow_fernet_key": fernet_key,
    "airflow_jwt_secret": password,
    "airflow_secret_key": password,
    **{name: password for server in servers.EVERY for name in server.secrets},
}
"""Setting -> what makes a secret of it."""
GUESSED = frozenset(
    {
        *("", "admin", "airflow", "changeme", "default", "guest", "password", "postgres"),
        *("rabbit", "rabbitmq", "root", "secret", "test"),
        # Defaults of Airflow's own: [webserver] secret_key, [core] fernet_key, its compose file's.
        *("temporary_key", "cryptography_not_found_storing_passwords_in_plain_text"),
        "airflow_jwt_secret",
        # Keys that examples of well-known images and roles hand to everybody.
        "46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=",
        "jsDPRErfv8Z_eVTnGfF8ywd19j4pyqE3NpdUBA_oRTo=",
        "a25mQ1FHTUh3MnFRSk5KMEIyVVU2YmN0VGRyYTVXY08=",
    }
)
"""Secrets that are none: passwords that are tried first, and keys that stand in public code."""


def is_guessed(secret: str) -> bool:
    """Return whether a secret is empty, or no secret at all."""
    return not GUESSED.isdisjoint({secret.strip(), secret.strip().lower()})


def default_file(groups: Iterable[str], arguments: Iterable[str] | None = None) -> Path:
    """Find the place for the secrets: ``.secrets/<inventory>.json`` beside the inventory.

    pyinfra does not tell a deploy which inventory file it read, but every host is in a group
    of that file's name; without such a file among the arguments it is the working directory.
    """
    names = set(groups)
    for argument in sys.argv[1:] if arguments is None else arguments:
        path = Path(argument)
        if path.stem in names and path.suffix == ".py" and path.is_file():
            return path.resolve().parent / ".secrets" / f"{path.stem}.json"
    return Path.cwd() / ".secrets" / "airflow.json"


def complete(given: Mapping[str, str], file: Path) -> dict[str, str]:
    """Return every secret: ``given``, else the environment's, else the file's, else a new one.

    The environment variable of a secret is its name in upper case. New ones are written to
    ``file`` before they are used anywhere.
    """
    found = dict(given)
    for name in GENERATORS:
        if name not in found and os.environ.get(name.upper()):
            found[name] = os.environ[name.upper()]
    missing = [name for name in GENERATORS if name not in found]
    if missing:
        kept = _keep(file, missing)
        found.update({name: kept[name] for name in missing})
    return found


def _keep(file: Path, names: list[str]) -> dict[str, str]:
    """Read ``names`` from ``file``, adding those that it lacks."""
    with _held(file) as secrets:
        for name in names:
            if name not in secrets:
                secrets[name] = GENERATORS[name]()
    return secrets


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a private folder, which is created if it is missing."""
    private_folder(folder)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept(file: Path, name: str) -> str:
    """Return a secret that ``file`` has; empty when it has none."""
    return _read(file).get(name, "")


def next_key(file: Path, name: str) -> str:
    """Return the Fernet key that ``file`` keeps under ``name``, a new one if it has none."""
    with _held(file) as secrets:
        return secrets.setdefault(name, fernet_key())


def forget(file: Path, name: str) -> None:
    """Remove a secret from ``file``."""
    with _held(file) as secrets:
        secrets.pop(name, None)


def replace(file: Path, name: str, old: str, new: str) -> None:
    """Replace an old secret by a new one, unless ``file`` has another one by now."""
    with _held(file) as secrets:
        if secrets.get(name) == old:
            secrets[name] = new


def replace_all(file: Path, values: Mapping[str, str]) -> None:
    """Write ``values`` to ``file``, and keep the values that they replace next to it."""
    with _held(file) as secrets:
        if any(secrets.get(name) != value for name, value in values.items()):
            former = file.with_name(f"{file.name}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
            write_private(former, _text(secrets))
        secrets.update(values)


@contextmanager
def _held(file: Path) -> Iterator[dict[str, str]]:
    """Lend what ``file`` has to one process at a time, and write what that makes of it."""
    with locked(file.parent):
        before = _read(file)
        secrets = dict(before)
        yield secrets
        if secrets != before:
            write_private(file, _text(secrets))


def _text(secrets: Mapping[str, str]) -> str:
    return json.dumps(secrets, indent=2, sort_keys=True) + "\n"


def _read(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    file.chmod(0o600)
    with suppress(ValueError):
        kept = json.loads(file.read_text())
        if isinstance(kept, dict) and all(isinstance(each, str) for each in kept.values()):
            return kept
    raise SecretsError(f"{file} is not a JSON object of strings: fix it, or restore it from a copy")


def private_folder(folder: Path) -> None:
    """Create a folder that nobody else can read and that git ignores."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def write_private(file: Path, text: str) -> None:
    """Replace a file by a text that nobody else can read."""
    new = file.with_name(file.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    new.replace(file)
