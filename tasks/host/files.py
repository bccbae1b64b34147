"""Operations that write files and folders; other people's files are kept before they change."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from io import StringIO
from pathlib import Path

from pyinfra import host, logger
from pyinfra.api import FileUploadCommand, QuoteString, StringCommand, operation
from pyinfra.operations import files

from ..run import arguments, color_diff, diffing, executing
from ..settings import CONFIGURATION, ENVIRONMENT
from . import masks
from .found import Found, Paths, VariableDigests, digest
from .look import Look, expect, look
from .steps import Commands, refused, run_quietly, told

REPLACED = "/var/backups/airflow-replaced"
"""Where a host has what runs have overwritten of others' files: a folder for each run."""


@dataclass(frozen=True)
class File:
    """A file as it should be."""

    text: str = field(repr=False)
    user: str = "root"
    group: str = "root"
    mode: str = "644"
    secret: bool = False
    """Not shown in a diff, and private from its first byte."""
    check: str = ""
    """Command that has to accept the path of a new secret file before that goes live."""
    masks: tuple[str, ...] = field(default=(), repr=False)
    """Values that a diff does not show."""
    private: Callable[[str], Iterable[str]] = field(default=lambda text: (), repr=False)
    """Gives further ones, of the present text and of the wanted one."""
    partly: bool = False
    """Only a part of it is ours, and the rest stays."""
    unmarked: bool = False
    """It can't have our MARK: its path alone tells that it is ours."""
    former: str = ""
    """Where what a secret file had before stays, for root alone, unless something does already."""

    @property
    def found(self) -> Found:
        """Return what is found where it is."""
        return Found(self.user, self.group, self.mode, sha256=digest(self.text))


@dataclass(frozen=True)
class Folder:
    """A folder as it should be; a user or a group that is None is left as it is."""

    user: str | None = "root"
    group: str | None = "root"
    mode: str = "755"


def place(wanted: Mapping[str, File | Folder]) -> None:
    """Bring files and folders to what they should be: a step for each, and one look for all."""
    expect([Look.of(Paths, paths=tuple(wanted))])
    for path in host.loop(wanted):
        entry = wanted[path]
        if isinstance(entry, Folder):
            folder(name=f"Create {path}", path=path, wanted=entry)
        else:
            file(name=f"Write {path}", path=path, wanted=entry)


def as_wanted(files: Mapping[str, File]) -> bool:
    """Return whether the host has each of the files as it should be."""
    have = look(Paths, paths=tuple(files))
    return all(have.get(path) == wanted.found for path, wanted in files.items())


@operation()
def folder(path: str, wanted: Folder) -> Commands:
    """Make a folder, or give it its owner and mode."""
    have = look(Paths, paths=(path,)).get(path)
    if (
        have
        and have.folder
        and have.mode == wanted.mode
        and wanted.user in (None, have.user)
        and wanted.group in (None, have.group)
    ):
        host.noop(f"{path} is as it should be")
        return
    yield from files.directory._inner(
        path=path, user=wanted.user, group=wanted.group, mode=wanted.mode
    )


@operation()
def file(path: str, wanted: File) -> Commands:
    """Write a file, or give it its owner and mode."""
    yield from written(path, wanted, look(Paths, paths=(path,)).get(path))


@operation()
def drop_in(path: str, wanted: File) -> Commands:
    """Add to a unit of somebody else's, which need not start anew.

    systemd reads it in the same command: nothing would make up for that after a broken run.
    """
    have = look(Paths, paths=(path,)).get(path)
    if have == wanted.found:
        host.noop(f"{path} is as it should be")
        return
    yield from kept(path, wanted, have)
    target, new = QuoteString(path), QuoteString(f"{path}.new")
    yield StringCommand(
        "umask 022 && mkdir -p", QuoteString(str(Path(path).parent)), "&& cat >", new,
        "&& mv -fT", new, target, "&& systemctl daemon-reload",
        _stdin=wanted.text.removesuffix("\n"),
    )  # fmt: skip


def edited(path: str, lines: Sequence[str], *, ours: bool) -> Commands:
    """Change a part of a file of somebody's. ``ours`` is whether it has been changed before."""
    wanted = File("\n".join(lines) + "\n", partly=True)
    yield from written(path, wanted, Found(wanted.user, wanted.group, wanted.mode, ours=ours))


def written(path: str, wanted: File, have: Found | None) -> Commands:
    """Bring a file from what it is to what it should be, and keep one of somebody else's."""
    if have == wanted.found:
        host.noop(f"{path} is as it should be")
        return
    if have and have.folder:
        yield from refused(f"{path} is a folder, but must be a file: move it away")
        return
    if have and have.sha256 == digest(wanted.text):
        yield StringCommand(*_owned(path, wanted))
        return
    _shown(path, wanted, have)
    yield from kept(path, wanted, have)
    yield from _written_secretly(path, wanted) if wanted.secret else _uploaded(path, wanted)


def _uploaded(path: str, wanted: File) -> Commands:
    # One that is partly ours may be a mount, which can't be replaced; a link is not followed.
    new = path if wanted.partly else f"{path}.new"
    temporary = host.get_temp_filename(path, temp_directory=arguments().get("_temp_dir"))
    yield FileUploadCommand(StringIO(wanted.text), new, temporary)
    moved = () if wanted.partly else ("&& mv -fT", QuoteString(new), QuoteString(path))
    yield StringCommand(*_owned(new, wanted), *moved)


def _owned(path: str, wanted: File) -> list[object]:
    """Return the bits of a command that gives a file its owner and its mode."""
    owner, target = f"{wanted.user}:{wanted.group}", QuoteString(path)
    return ["chown", owner, target, "&& chmod", wanted.mode, target]


def _written_secretly(path: str, wanted: File) -> Commands:
    new = QuoteString(f"{path}.new")
    check = ("&& {", wanted.check, new, "|| { rm", new, "; false; }; }") if wanted.check else ()
    target, former = QuoteString(path), QuoteString(wanted.former)
    missing = ("test ! -e", target, "|| test -e", former)
    stays = ("&& {", *missing, "|| install -m 600", target, former, "; }") if wanted.former else ()
    yield StringCommand(
        "umask 077 && cat >", new, *check, *stays, "&&", *_owned(f"{path}.new", wanted),
        "&& mv -fT", new, target, _stdin=wanted.text.removesuffix("\n"),
    )  # fmt: skip


def kept(path: str, wanted: File, have: Found | None) -> Commands:
    """Copy a file that is somebody else's, for root alone, before it is overwritten."""
    if foreign(path, wanted, have):
        yield from copied(path)


def copied(path: str) -> Commands:
    """Copy a file of somebody's to where root alone can read it, and say so."""
    folder = f"{REPLACED}/{started()}"
    copy = f"{folder}{path}"
    if not executing():
        host.log(f"would keep the current {path} in {folder}", logger.info)
    yield StringCommand(
        "umask 077 && mkdir -p", QuoteString(str(Path(copy).parent)),
        "&& cp -T --preserve=timestamps", QuoteString(path), QuoteString(copy),
    )  # fmt: skip
    host.log(f"kept the previous {path} in {folder}", logger.info)


@cache
def started() -> str:
    """Return when this run has begun, as a name."""
    return datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def foreign(path: str, wanted: File, have: Found | None) -> bool:
    """Return whether what is found at ``path`` is a file that this package has not written."""
    own = wanted.unmarked or path.startswith((f"{ENVIRONMENT}/", f"{CONFIGURATION}/"))
    return have is not None and not (own or have.ours or have.folder)


def _shown(path: str, wanted: File, have: Found | None) -> None:
    """Say what a step changes in a file, as far as everybody may know it."""
    if have and wanted.secret and path.endswith(".env"):
        _variables_told(path, wanted.text)
    if not diffing():
        return
    if foreign(path, wanted, have) and not wanted.partly:
        sentence = "replaces a file that this package did not write; its text is not shown"
        host.log(f"{path}: {sentence}", logger.info)
    elif wanted.secret:
        host.log(f"Will write {path} (its contents are secret)", logger.info)
    else:
        host.log(f"Will {'modify' if have else 'create'} {path}", logger.info)
        _diff(_present(path) if have else "", wanted)


def _variables_told(path: str, text: str) -> None:
    """Return which variables of a secret file change, by digests that tell nothing else."""
    salt = secrets.token_hex(32)
    have = host.get_fact(VariableDigests, path=path, _stdin=StringIO(salt))
    wanted = {name: masks.salted(salt, each) for name, each in masks.variables(text).items()}
    told(path, list(filter(None, [masks.difference(have, wanted)])) if have else [])


def _diff(have: str, wanted: File) -> None:
    hidden = {*wanted.masks, *wanted.private(have), *wanted.private(wanted.text)}
    pair = [masks.masked(text, hidden) for text in (have, wanted.text)]
    for line in color_diff(*pair):
        logger.info("  %s", line)
    if pair[0] == pair[1]:
        logger.info("  only hidden values differ")


def _present(path: str) -> str:
    """Read a file. As a fact, it would be printed with -vvv."""
    return run_quietly(StringCommand("cat", QuoteString(path)))


@operation()
def absent(paths: Sequence[str]) -> Commands:
    """Remove files and folders, of which systemd may have read some."""
    have = look(Paths, paths=tuple(paths))
    if not have:
        host.noop("there is nothing to remove")
        return
    yield StringCommand("rm -rf", *map(QuoteString, have), "&& systemctl daemon-reload")
