"""DAGs and plugins: folders of the controller and a git repository, brought to the hosts."""

from __future__ import annotations

import base64
import difflib
import gzip
import hashlib
import json
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pyinfra import host, logger
from pyinfra.api import FactBase, QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from ..deploys import deploy
from ..host.found import STAT, Found, read_found
from ..host.look import Beyond, Look, look
from ..host.steps import Commands, will_have_changed
from ..run import diffing, executing
from ..settings import Settings, SettingsError
from . import repository
from .helpers import helper
from .repository import DagsRepository

_MODE = "640"
"""Of the delivered files."""
_LINE = 48_000
"""Characters of an archive that are sent at a time."""


@deploy("DAGs")
def deploy_dags(settings: Settings | None = None, *, checked: bool = False) -> list[OperationMeta]:
    """Deliver plugins and DAGs to a host, as far as their settings are set.

    DAG files that Airflow can't import are reported with their traceback, or refused unless they
    were ``checked`` before; they may import what the plugins bring. Return the operations after
    which Airflow's processes have to be restarted.
    """
    settings = Settings.of(host, settings)
    dags, plugins = _folders(settings)
    has_clone = _has_clone(settings)
    reads = settings.release.parser in settings.airflow_components
    if not checked:
        _check(settings)
    restarting = _delivered(settings.airflow_plugins, plugins)
    steps = [*restarting, *_delivered(settings.airflow_dags, dags)]
    if has_clone:
        steps.append(repository.use(settings))
    if reads and steps and settings.airflow_dags_check == "report":
        imported(name="Look for DAG files that don't import", path=dags, changed=steps)
    return restarting


@deploy("DAGs")
def deploy_dags_check(settings: Settings) -> None:
    """Refuse DAG files that don't import on the host as it is, before the first change."""
    _check(settings)


def _check(settings: Settings) -> None:
    """Fetch the repository's commit next to the one in use, and check the new DAG files."""
    dags, plugins = _folders(settings)
    if _has_clone(settings):
        repository.fetch(settings)
    reads = settings.release.parser in settings.airflow_components
    if reads and settings.airflow_dags_check == "refuse":
        importable(
            name="Import the new DAG files",
            dags=dags,
            plugins=plugins,
            sources={dags: settings.airflow_dags, plugins: settings.airflow_plugins},
            settings=settings if _has_clone(settings) else None,
        )


def _folders(settings: Settings) -> tuple[str, str]:
    return f"{settings.airflow_home}/dags", f"{settings.airflow_home}/plugins"


def _has_clone(settings: Settings) -> bool:
    return bool(settings.airflow_dags_repository) and settings.reads_dags


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_dags` ask, the repository's apart."""
    dags, plugins = _folders(settings)
    for source, path in ((settings.airflow_plugins, plugins), (settings.airflow_dags, dags)):
        if source:
            yield Look.of(DeliveredFolder, path=path)
    if _has_clone(settings):
        yield from repository.looks(settings)


def _delivered(source: Path | None, path: str) -> list[OperationMeta]:
    if source is None:
        return []
    return [delivered_folder(name=f"Deliver {source}", source=source, path=path)]


@dataclass(frozen=True)
class Delivery:
    """What separates a folder on a host from one of the controller."""

    local: Mapping[str, Path]
    """Every file of the controller's, by its path in the folder."""
    have: Mapping[str, Found]
    """Those on the host."""
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    """Those that were delivered before, and that the controller has no more."""
    listed: bool
    """Whether the host knows what was delivered."""

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone or not self.listed)


def local_files(source: Path) -> dict[str, Path]:
    """Return the files below ``source`` that are delivered, by their paths in it."""
    every = {file.relative_to(source): file for file in sorted(source.rglob("*"))}
    if odd := [path for path in every if "\n" in str(path)]:
        raise SettingsError(f"{source} has a file with a line break in its name: {str(odd[0])!r}")
    return {
        path.as_posix(): file
        for path, file in every.items()
        if file.is_file()
        and path.suffix != ".pyc"
        and not {"__pycache__", ".git"}.intersection(path.parts)
    }


def compare(source: Path, path: str) -> Delivery:
    """Compare a folder of the controller with what a host has of it."""
    local = local_files(source)
    found = look(DeliveredFolder, path=path)
    have = found.files
    wanted = {name: Found("root", "airflow", _MODE, sha256=_sha256(local[name])) for name in local}
    return Delivery(
        local,
        have,
        changed=tuple(name for name in local if have.get(name) != wanted[name]),
        gone=tuple(name for name in found.before if name not in local and name in have),
        listed=found.before == tuple(local),
    )


def archive(delivery: Delivery) -> list[str]:
    """Pack the changed files with their owner and mode, and two lists, as lines of base64."""
    packed = BytesIO()
    names = delivery.changed
    folders = {str(parent) for name in names for parent in Path("files", name).parents} - {"."}
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for folder in sorted({*folders, "files"}):
            tar.addfile(_entry(folder, 0o755, tarfile.DIRTYPE))
        for name in names:
            _add(tar, f"files/{name}", delivery.local[name].read_bytes(), int(_MODE, 8))
        _add(tar, "gone", _lines(delivery.gone), 0o644)
        _add(tar, "delivered", _lines(delivery.local), 0o644)
    text = base64.b64encode(gzip.compress(packed.getvalue(), 6)).decode()
    return [text[start : start + _LINE] for start in range(0, len(text), _LINE)]


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = _entry(name, mode, tarfile.REGTYPE)
    entry.size = len(content)
    tar.addfile(entry, BytesIO(content))


def _entry(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type = mode, kind
    entry.uname, entry.gname = "root", "airflow"
    return entry


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


# Beside the folder, in which Airflow reads whatever it finds. Names stand in no command: there may
# be more than fit into one.
_UNPACK = (
    "umask 077; set -e; rm -rf {path}.new; mkdir {path}.new; base64 -d | tar -xzmpf - -C {path}.new"
)
_PLACE = """cd {path}.new/files
xargs -r -d '\\n' -a ../gone sh -c 'cd "$0" && rm -f -- "$@"' {target}
find . -mindepth 1 -type d -exec \
    sh -c 'cd "$0" && install -d -m 755 -o root -g airflow "$@"' {target} {{}} +
find . -type d -exec sh -c 'for folder; do
    find "$folder" -maxdepth 1 -type f -print0 | xargs -0r mv -f -t "$0/$folder" || exit 1
done' {target} {{}} +"""
_LIST = "mv -fT {path}.new/delivered {path}.delivered; rm -rf {path}.new"


def _sent(delivery: Delivery, script: str, **paths: str) -> StringCommand:
    quoted = {name: shlex.quote(path) for name, path in paths.items()}
    return StringCommand(script.format(**quoted), _stdin=archive(delivery))


@operation()
def delivered_folder(source: Path, path: str) -> Commands:
    """Deliver a folder's files: the changed ones only, and remove only what was delivered before.

    What was delivered stands in ``path``.delivered, whose time is that of the last delivery; other
    files in the folder are nobody's business here. It is one command, however many files there are,
    and each file is replaced at once.
    """
    delivery = compare(source, path)
    if not delivery:
        host.noop(f"{path} has every file of {source}")
        return
    if diffing():
        _show_differences(path, delivery)
    # The first touch counts for a run that is cut short: what has to start anew then still does.
    script = f"{_UNPACK}; touch {{path}}.delivered; {_PLACE}; {_LIST}"
    yield _sent(delivery, script, path=path, target=path)


@operation()
def importable(
    dags: str, plugins: str, sources: Mapping[str, Path | None], settings: Settings | None
) -> Commands:
    """Import the DAG files as they are to be, in a copy, and fail where Airflow can't.

    They see the plugins as those are to be, in a copy too. ``sources`` are the controller's
    folders, by their paths on the host, and ``settings`` those of the repository, if there is one.
    """
    deliveries = {path: compare(source, path) for path, source in sources.items() if source}
    changed = {path: delivery for path, delivery in deliveries.items() if delivery}
    commit = _new_commit(settings) if settings else ""
    if not changed and not commit:
        host.noop("no DAG file or plugin has changed")
        return
    copies = {path: f"{path}.check" for path in (dags, plugins)}
    yield " && ".join(f"rm -rf {copy} && cp -al {path} {copy}" for path, copy in copies.items())
    for path, delivery in changed.items():
        script = f"{_UNPACK}; {_PLACE}; rm -rf {{path}}.new"
        yield _sent(delivery, script, path=path, target=copies[path])
    if commit and settings:
        link = f"{copies[dags]}/{settings.dags_link.rpartition('/')[2]}"
        yield f"ln -sfn {repository.source(settings, commit)} {link}"
    folders = {"folder": copies[dags], "plugins": copies[plugins]}
    errors = host.get_fact(DagImports, **folders) if executing() else {}
    yield f"rm -rf {' '.join(copies.values())}"
    if errors is None or errors:
        _tell(errors, copies)
        yield (
            "echo \"DAG files don't import, so none was replaced: fix them, or set"
            " airflow_dags_check to 'report'\" >&2; false"
        )


def _new_commit(settings: Settings) -> str:
    """Return the commit that is to be used in place of the present one, or nothing."""
    have = look(DagsRepository, **repository.question(settings))
    wanted = repository.commit(have)
    return "" if wanted == have.commit and have.link else wanted or "unknown"


@operation()
def imported(path: str, *, changed: Sequence[OperationMeta]) -> Commands:
    """Import the DAG files as Airflow does, after a change, and tell which it can't."""
    if not will_have_changed(changed):
        host.noop("no DAG file or plugin has changed")
        return
    if executing():
        _tell(host.get_fact(DagImports, folder=path), {})
    host.noop("importing DAG files changes nothing")
    yield from ()


def _tell(errors: Mapping[str, str] | None, copies: Mapping[str, str]) -> None:
    """Print which files don't import, by their original paths."""
    if errors is None:
        host.log("Airflow could not say which DAG files import", logger.warning)
        return
    for file in sorted(errors):
        text = f"{file} does not import:\n{errors[file]}"
        for path, copy in copies.items():
            text = text.replace(copy, path)
        first, *traceback = text.splitlines()
        host.log(first, logger.warning)
        for line in traceback:
            logger.warning("    %s", line)


def _show_differences(path: str, delivery: Delivery) -> None:
    known = [name for name in delivery.changed if name in delivery.have]
    before = host.get_fact(FolderFiles, path=path, _stdin=known) if known else {}
    for name in delivery.changed:
        host.log(f"Will {'modify' if name in known else 'create'} {path}/{name}", logger.info)
        try:
            old, new = before.get(name, b"").decode(), delivery.local[name].read_text()
        except UnicodeDecodeError:
            continue
        for line in difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2):
            logger.info("  %s", line)
    for name in delivery.gone:
        host.log(f"Will remove {path}/{name}", logger.info)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Delivered:
    """A folder on a host that files are delivered to."""

    files: Mapping[str, Found]
    """By their paths in the folder, Python's own left out."""
    before: tuple[str, ...]
    """What was delivered before, as ``path``.delivered has it."""


class DeliveredFolder(FactBase[Delivered]):
    """Every file below ``path``, and what of it was delivered before."""

    @staticmethod
    def default() -> Delivered:
        return Delivered({}, ())

    def command(self, path: str) -> StringCommand:
        return StringCommand(
            "cat", QuoteString(f"{path}.delivered"), "2>/dev/null; echo ---; cd", QuoteString(path),
            f"2>/dev/null && find . -type f ! -name '*.pyc' -exec stat -c '{STAT}' {{}} +",
            "-exec sha256sum {} + || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> Delivered:
        end = output.index("---")
        found = read_found(output[end + 1 :])
        files = {name.removeprefix("./"): file for name, file in found.items()}
        return Delivered(files, tuple(output[:end]))


class FolderFiles(FactBase[dict[str, bytes]]):
    """The contents of files below ``path``, whose names stand on standard input."""

    default = dict

    def command(self, path: str) -> StringCommand:
        return StringCommand(
            "cd", QuoteString(path), "2>/dev/null && tar --verbatim-files-from -T - -czf -",
            "2>/dev/null | base64 || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, bytes]:
        found = {}
        with tarfile.open(fileobj=BytesIO(base64.b64decode("".join(output)))) as archive:
            for member in archive:
                file = archive.extractfile(member)
                found[member.name] = file.read() if file else b""
        return found


class DagImports(Beyond, FactBase[dict[str, str] | None]):
    """The DAG files below ``folder`` that Airflow can't import: path -> traceback.

    They see the plugins of a folder other than Airflow's where one is given. None where Airflow
    can't be asked.
    """

    @staticmethod
    def default() -> dict[str, str] | None:
        return None

    def command(self, folder: str, plugins: str = "") -> StringCommand:
        folders = (QuoteString(each) for each in (folder, plugins) if each)
        script = helper("airflow_imports.py")
        return StringCommand("timeout 3600", script, *folders, "2>/dev/null || true")

    def process(self, output: list[str]) -> dict[str, str] | None:
        errors: dict[str, str] = json.loads(output[-1])
        return errors
