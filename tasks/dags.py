"""DAGs: a folder of the controller, delivered to the hosts."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Mapping, Sequence
from io import StringIO
from pathlib import Path

from pyinfra import host, logger, state
from pyinfra.api import FileUploadCommand, QuoteString, StringCommand, operation
from pyinfra.facts.files import FileContents
from pyinfra.operations import files

from .deploys import deploy
from .facts import DeliveredFolder, Found, look
from .operations import Commands
from .settings import Settings

_MODE = "640"
"""Of the delivered files."""


@deploy("DAGs")
def deploy_dags(settings: Settings | None = None) -> None:
    """Deliver the folder ``airflow_dags``, where it is set, to every host that reads DAGs."""
    settings = Settings.of(host, settings)
    if settings.airflow_dags is not None:
        delivered_folder(
            name=f"Deliver {settings.airflow_dags}",
            source=settings.airflow_dags,
            path=f"{settings.airflow_home}/dags",
            user="root",
            group="airflow",
        )


@operation()
def delivered_folder(source: Path, path: str, *, user: str, group: str) -> Commands:
    """Deliver a folder's files: the changed ones only, and remove only what was delivered before.

    What was delivered stands in ``path``.delivered; other files in the folder are nobody's
    business here.
    """
    local = {
        file.relative_to(source).as_posix(): file
        for file in sorted(source.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    found = look(DeliveredFolder, path=path)
    have = found.files
    gone = [name for name in found.before if name not in local and name in have]
    wanted = {name: Found(user, group, _MODE, sha256=_sha256(local[name])) for name in local}
    changes = [name for name in local if have.get(name) != wanted[name]]
    if not changes and not gone and found.before == tuple(local):
        host.noop(f"{path} has every file of {source}")
        return
    yield from _deliver(local, changes, path, have, user=user, group=group)
    if gone:
        yield StringCommand("cd", QuoteString(path), "&& rm -f --", *map(QuoteString, gone))
    yield from files.put._inner(
        src=StringIO("".join(f"{name}\n" for name in local)), dest=f"{path}.delivered", mode="644"
    )


def _deliver(
    local: Mapping[str, Path],
    changes: Sequence[str],
    path: str,
    have: Collection[str],
    *,
    user: str,
    group: str,
) -> Commands:
    folders = sorted({str(Path(path, name).parent) for name in changes} - {path})
    if folders:
        quoted = [QuoteString(folder) for folder in folders]
        yield StringCommand("install -d -m 755 -o", user, "-g", group, *quoted)
    for name in changes:
        target = f"{path}/{name}"
        if state.config.DIFF:
            _show_difference(target, local[name], known=name in have)
        # Beside the folder, in which Airflow reads whatever it finds.
        new = QuoteString(f"{path}.new")
        yield FileUploadCommand(str(local[name]), f"{path}.new", host.get_temp_filename(target))
        yield StringCommand(
            "chown",
            f"{user}:{group}",
            new,
            f"&& chmod {_MODE}",
            new,
            "&& mv -fT",
            new,
            QuoteString(target),
        )


def _show_difference(target: str, file: Path, *, known: bool) -> None:
    host.log(f"Will {'modify' if known else 'create'} {target}", logger.info)
    before = host.get_fact(FileContents, path=target) if known else []
    try:
        after = file.read_text().splitlines()
    except UnicodeDecodeError:
        return
    for line in difflib.unified_diff(before or [], after, lineterm="", n=2):
        logger.info("  %s", line)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
