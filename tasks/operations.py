"""Operations that pyinfra lacks and several components need. Others are with their component.

Every operation reads the state by a fact and yields only what differs.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Container, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from pyinfra import host, logger, state
from pyinfra.api import (
    FactBase,
    FileDownloadCommand,
    FileUploadCommand,
    FunctionCommand,
    QuoteString,
    StringCommand,
    operation,
)
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS
from pyinfra.api.operation import OperationMeta
from pyinfra.operations import files
from pyinfra.operations.util.files import generate_color_diff

from . import masks
from .facts import BEGIN, END, MARK, NO_UNIT, Found, Paths, Units, VariableDigests, Watched
from .look import Look, expect, look
from .settings import CONFIGURATION, ENVIRONMENT, SettingsError

REPLACED = "/var/backups/airflow-replaced"
"""Where a host has what runs have overwritten of others' files: a folder for each run."""

Command = str | StringCommand | FileUploadCommand | FileDownloadCommand | FunctionCommand
Commands = Generator[Command, None, None]


def will_have_changed(operations: Iterable[OperationMeta]) -> bool:
    """Return whether ``operations`` will change in a plan, or did change in a run."""
    return any(op.did_change() if op.is_complete() else op.will_change for op in operations)


def can_not_be_asked(answer: object) -> bool:
    """Report in a plan that a server is down: it is then assumed to be as it should be.

    Starting it stands in the plan, and the run asks again.
    """
    return answer in (None, "unknown") and not state.is_executing


def verb(known: Container[str] | None, name: str) -> str:
    """Return what a step does to ``name``: it creates what a host that can be asked lacks."""
    return "Change" if known is None or name in known else "Create"


def told(what: str, changes: Sequence[str]) -> None:
    """Say what a step changes of something that exists."""
    if changes:
        host.log(f"{what}: {'; '.join(changes)}", logger.info)


@operation()
def barrier() -> Commands:
    """Hold every host here until all have come this far: pyinfra orders hosts by depth."""
    host.noop("every host has reached this step")
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


def refused(sentence: str) -> Commands:
    """Fail with a sentence, in a plan too."""
    if not state.is_executing:
        raise SettingsError(f"host {host.name}: {sentence}")
    yield StringCommand("echo", QuoteString(sentence), ">&2; false")


def _uploaded(path: str, wanted: File) -> Commands:
    # One that is partly ours may be a mount, which can't be replaced; a link is not followed.
    new = path if wanted.partly else f"{path}.new"
    temporary = host.get_temp_filename(path, temp_directory=_arguments().get("_temp_dir"))
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
    folder = f"{REPLACED}/{_started()}"
    copy = f"{folder}{path}"
    if not state.is_executing:
        host.log(f"would keep the current {path} in {folder}", logger.info)
    yield StringCommand(
        "umask 077 && mkdir -p", QuoteString(str(Path(copy).parent)),
        "&& cp -T --preserve=timestamps", QuoteString(path), QuoteString(copy),
    )  # fmt: skip
    host.log(f"kept the previous {path} in {folder}", logger.info)


@cache
def _started() -> str:
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
    if not state.config.DIFF:
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
    for line in generate_color_diff(*pair):
        logger.info("  %s", line)
    if pair[0] == pair[1]:
        logger.info("  only hidden values differ")


def _present(path: str) -> str:
    """Read a file. As a fact, it would be printed with -vvv."""
    return run_quietly(StringCommand("cat", QuoteString(path)))


def run_quietly(command: StringCommand) -> str:
    """Run a command as the present step would, and give what it prints; it is shown nowhere."""
    given = _arguments()
    becomes = {key: given[key] for key in CONNECTOR_ARGUMENT_KEYS if key in given}
    done, output = host.run_shell_command(command, **becomes)
    return output.stdout if done else ""


def _arguments() -> dict[str, Any]:
    """Return pyinfra's own arguments of the present step."""
    return dict(host.current_op_global_arguments or {})


class Connections(FactBase[int]):
    """How many connections to a TCP ``port`` of the host are established."""

    default = int

    def command(self, port: int) -> str:
        return f"ss -Htn state established '( sport = :{port} )' 2>/dev/null | wc -l"

    def process(self, output: list[str]) -> int:
        return int(output[-1])


def stays(what: str, port: int) -> bool:
    """Return whether somebody still uses a server, which then stays; a plan can't know that."""
    if not state.is_executing or not (used := host.get_fact(Connections, port=port)):
        return False
    host.log(f"{what} stays until the next run: it has {used} connections", logger.warning)
    return True


@operation()
def absent(paths: Sequence[str]) -> Commands:
    """Remove files and folders, of which systemd may have read some."""
    have = look(Paths, paths=tuple(paths))
    if not have:
        host.noop("there is nothing to remove")
        return
    yield StringCommand("rm -rf", *map(QuoteString, have), "&& systemctl daemon-reload")


@operation()
def running(
    watched: Watched,
    *,
    texts: Mapping[str, str],
    changed: Iterable[OperationMeta] = (),
    installed: OperationMeta | None = None,
    reload: str | None = None,
) -> Commands:
    """Run a unit, enabled, and restarted when a file that it reads is newer than its process.

    ``texts`` are what steps before this one write to the files that it reads: so a plan sees the
    restart that this brings. ``changed`` are further steps that it has to follow. File times also
    bring the restart that a broken run left undone. ``installed`` is the step that installs the
    unit, if that also enables and starts it, and if what it reads and ``changed`` come before.
    ``reload`` is a command that has a running one read its files anew, in the place of a restart.
    """
    unit = watched.unit
    if installed and not installed.is_complete() and installed.will_change:
        host.noop(f"{unit} is started by its package")
        return
    new = installed is not None and will_have_changed([installed])
    have = look(Units, watched=(watched,)).get(unit, NO_UNIT)
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
        host.noop(f"{unit} is running, and nothing that it reads is newer")
        return
    yield "systemctl daemon-reload"
    yield from commands


def watched_by_files(units: Iterable[str], paths: Iterable[str]) -> tuple[Watched, ...]:
    """Return what tells whether units have the files that they should have."""
    return tuple(Watched(each, "/", tuple(paths)) for each in units)


@operation()
def timer(unit: str, texts: Mapping[str, str], units: Sequence[str]) -> Commands:
    """Run a timer, enabled, and started anew when its files have changed.

    ``units`` are those of its ``texts``.
    """
    found = look(Units, watched=watched_by_files(units, texts))
    have = found.get(unit, NO_UNIT)
    same = all(have.digests.get(path) == digest(text) for path, text in texts.items())
    stale = any(each.stale for each in found.values())
    if have.active and have.enabled and not stale and same:
        host.noop(f"{unit} runs")
        return
    yield "systemctl daemon-reload"
    yield f"systemctl enable -q {unit} && systemctl restart {unit}"


_KEEP_OTHERS = """for file in {files}; do
    test ! -f $file || grep -q '{mark}' $file || {{
        echo "kept the previous $file in {folder}"
        umask 077 && mkdir -p {folder}/etc/systemd/system && cp -T $file {folder}$file
    }} || exit
done"""


@operation()
def units_absent(units: Sequence[Watched]) -> Commands:
    """Stop units, with the patience that their tasks have, and remove them; keep others' files."""
    have = look(Units, watched=tuple(units))
    present = [each.unit for each in units if have.get(each.unit, NO_UNIT).present]
    if not present:
        host.noop("there is no service to remove")
        return
    files = " ".join(f"/etc/systemd/system/{unit}" for unit in present)
    yield _KEEP_OTHERS.format(mark=MARK, folder=f"{REPLACED}/{_started()}", files=files)
    yield f"systemctl disable -q --now {' '.join(present)} && rm -f {files}"
    # One that ended badly would be listed for ever.
    yield f"systemctl daemon-reload; systemctl reset-failed {' '.join(present)} 2>/dev/null || true"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def with_block(lines: Sequence[str], ours: Sequence[str]) -> list[str]:
    """Put our block first, where the first match wins, and leave the rest as it is."""
    return [BEGIN, *ours, END, *without_block(lines)]


def has_block(lines: Sequence[str]) -> bool:
    """Return whether we have written a block."""
    return {BEGIN, END} <= set(lines)


def block(lines: Sequence[str]) -> list[str]:
    """Return what is in our block."""
    rest = list(lines)
    return rest[rest.index(BEGIN) + 1 : rest.index(END)] if has_block(rest) else []


def without_block(lines: Sequence[str]) -> list[str]:
    """Return the text without our block."""
    rest = list(lines)
    if has_block(rest):
        rest = rest[: rest.index(BEGIN)] + rest[rest.index(END) + 1 :]
    return rest
