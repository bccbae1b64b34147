"""What pyinfra lacks and several components need. The others stand with their component.

Every operation reads the state by a fact and yields only what differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from pyinfra import host, logger, state
from pyinfra.api import (
    FileDownloadCommand,
    FileUploadCommand,
    FunctionCommand,
    QuoteString,
    StringCommand,
    operation,
)
from pyinfra.api.operation import OperationMeta
from pyinfra.operations import files

from .facts import NO_UNIT, Found, Paths, Units, Watched, look

Command = str | StringCommand | FileUploadCommand | FileDownloadCommand | FunctionCommand
Commands = Generator[Command, None, None]


def will_have_changed(operations: Iterable[OperationMeta]) -> bool:
    """Tell in a plan whether ``operations`` will change, and in a run whether they did."""
    return any(op.did_change() if op.is_complete() else op.will_change for op in operations)


def can_not_be_asked(answer: object) -> bool:
    """Tell a plan that a server is down: what it would say is then taken to be right.

    Starting it stands in the plan, and the run asks again.
    """
    return answer in (None, "unknown") and not state.is_executing


@operation()
def barrier() -> Commands:
    """Hold every host here until all have come this far: pyinfra orders hosts by depth."""
    host.noop("every host is here")
    yield from ()


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

    @property
    def found(self) -> Found:
        """Give what is found where it is."""
        return Found(self.user, self.group, self.mode, sha256=digest(self.text))


@dataclass(frozen=True)
class Folder:
    """A folder as it should be; a user or a group that is None is left as it is."""

    user: str | None = "root"
    group: str | None = "root"
    mode: str = "755"


def place(wanted: Mapping[str, File | Folder], *, among: Iterable[str] = ()) -> None:
    """Bring files and folders to what they should be: a step for each, and one look for all.

    ``among`` are the paths of that look, where it has more of them.
    """
    every = tuple(among or wanted)
    for path in host.loop(wanted):
        entry = wanted[path]
        if isinstance(entry, Folder):
            folder(name=f"Create {path}", path=path, wanted=entry, among=every)
        else:
            file(name=f"Write {path}", path=path, wanted=entry, among=every)


@operation()
def folder(path: str, wanted: Folder, *, among: tuple[str, ...]) -> Commands:
    """Make a folder, or give it its owner and mode. ``among`` are the paths of one look."""
    have = look(Paths, paths=among).get(path)
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
def file(path: str, wanted: File, *, among: tuple[str, ...]) -> Commands:
    """Write a file, or give it its owner and mode. ``among`` are the paths of one look."""
    yield from written(path, wanted, look(Paths, paths=among).get(path))


@operation()
def drop_in(path: str, wanted: File, *, among: tuple[str, ...]) -> Commands:
    """Add to a unit of somebody else's, which need not start anew. ``among`` as above.

    systemd reads it in the same command: nothing would make up for that after a broken run.
    """
    have = look(Paths, paths=among).get(path)
    if have == wanted.found:
        host.noop(f"{path} is as it should be")
        return
    target, new = QuoteString(path), QuoteString(f"{path}.new")
    yield StringCommand(
        "umask 022 && mkdir -p", QuoteString(str(Path(path).parent)), "&& cat >", new,
        "&& mv -fT", new, target, "&& systemctl daemon-reload",
        _stdin=wanted.text.removesuffix("\n"),
    )  # fmt: skip


def written(path: str, wanted: File, have: Found | None) -> Commands:
    """Bring a file from what it is to what it should be."""
    if have == wanted.found:
        host.noop(f"{path} is as it should be")
    elif wanted.secret:
        yield from _written_secretly(path, wanted, have)
    else:
        yield from files.put._inner(
            src=StringIO(wanted.text), dest=path, user=wanted.user, group=wanted.group,
            mode=wanted.mode, create_remote_dir=False,
        )  # fmt: skip


def _written_secretly(path: str, wanted: File, have: Found | None) -> Commands:
    owner = f"{wanted.user}:{wanted.group}"
    if have and have.sha256 == digest(wanted.text):
        target = QuoteString(path)
        yield StringCommand("chmod", wanted.mode, target, "&& chown", owner, target)
        return
    if state.config.DIFF:
        host.log(f"Will write {path} (its contents are secret)", logger.info)
    new = QuoteString(f"{path}.new")
    check = ("&& {", wanted.check, new, "|| { rm", new, "; false; }; }") if wanted.check else ()
    yield StringCommand(
        "umask 077 && cat >", new, *check, "&& chown", owner, new, "&& chmod", wanted.mode, new,
        "&& mv -fT", new, QuoteString(path), _stdin=wanted.text.removesuffix("\n"),
    )  # fmt: skip


@operation()
def running(
    watched: Watched,
    *,
    texts: Mapping[str, str],
    changed: Iterable[OperationMeta] = (),
    installed: OperationMeta | None = None,
    among: tuple[Watched, ...] = (),
    reload: str | None = None,
) -> Commands:
    """Run a unit, enabled, and restarted when a file that it reads is newer than its process.

    ``texts`` are what steps before this one write to the files that it reads: so a plan sees the
    restart that this brings. ``changed`` are further steps that it has to follow. File times also
    bring the restart that a broken run left undone. ``installed`` is the step that installs the
    unit, if that also enables and starts it, and if what it reads and ``changed`` come before.
    ``among`` are the units of one look. ``reload`` is a command that has a running one read its
    files anew, in the place of a restart.
    """
    unit = watched.unit
    if installed and not installed.is_complete() and installed.will_change:
        host.noop(f"{unit} is started by its package")
        return
    new = installed is not None and will_have_changed([installed])
    have = look(Units, watched=among or (watched,)).get(unit, NO_UNIT)
    if have.drop_ins:
        host.log(f"{unit} is also changed by {', '.join(have.drop_ins)}: left alone", logger.info)
    rewritten = [
        path
        for path in watched.reads
        if path in texts and have.digests.get(path) != digest(texts[path])
    ]
    commands = []
    if not have.enabled:
        commands.append(f"systemctl enable {unit}")
    stale = bool(have.newer or rewritten or (will_have_changed(changed) and not new))
    if stale and have.active and reload:
        commands.append(reload)
    elif stale or not have.active:
        commands.append(f"systemctl restart {unit}")
    if not commands:
        host.noop(f"{unit} runs, and nothing that it reads is newer")
        return
    yield "systemctl daemon-reload"
    yield from commands


@operation()
def timer(unit: str, texts: Mapping[str, str], *, among: Sequence[str]) -> Commands:
    """Run a timer, enabled, and started anew when its files have changed.

    ``among`` are the units of its ``texts``.
    """
    found = look(Units, watched=tuple(Watched(each, "/", tuple(texts)) for each in among))
    have = found.get(unit, NO_UNIT)
    same = all(have.digests.get(path) == digest(text) for path, text in texts.items())
    stale = any(each.stale for each in found.values())
    if have.active and have.enabled and not stale and same:
        host.noop(f"{unit} runs")
        return
    yield "systemctl daemon-reload"
    yield f"systemctl enable -q {unit} && systemctl restart {unit}"


@operation()
def removed(units: Sequence[Watched], *, among: tuple[Watched, ...]) -> Commands:
    """Stop units, with the patience that their tasks have, and remove them."""
    have = look(Units, watched=among)
    present = [each.unit for each in units if have.get(each.unit, NO_UNIT).present]
    if not present:
        host.noop("no service is left over")
        return
    files = " ".join(f"/etc/systemd/system/{unit}" for unit in present)
    yield f"systemctl disable -q --now {' '.join(present)} && rm -f {files}"
    # One that ended badly would be listed for ever.
    yield f"systemctl daemon-reload; systemctl reset-failed {' '.join(present)} 2>/dev/null || true"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_BEGIN = "# BEGIN pyinfra-airflow"

_END = "# END pyinfra-airflow"


def with_block(lines: Sequence[str], ours: Sequence[str]) -> list[str]:
    """Put our block first, where the first match wins, and leave the rest as it is."""
    return [_BEGIN, *ours, _END, *without_block(lines)]


def block(lines: Sequence[str]) -> list[str]:
    """Give what is in our block."""
    rest = list(lines)
    return rest[rest.index(_BEGIN) + 1 : rest.index(_END)] if {_BEGIN, _END} <= set(rest) else []


def without_block(lines: Sequence[str]) -> list[str]:
    """Take our block away."""
    rest = list(lines)
    if _BEGIN in rest and _END in rest:
        rest = rest[: rest.index(_BEGIN)] + rest[rest.index(_END) + 1 :]
    return rest
