"""What pyinfra lacks and several components need. The others stand with their component.

Every operation reads the state by a fact and yields only what differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from io import StringIO

from pyinfra import host, logger, state
from pyinfra.api import FileUploadCommand, QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta
from pyinfra.operations import files

from .facts import Digest, FileDigest, UnitState

Commands = Generator[str | StringCommand | FileUploadCommand, None, None]


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


@operation()
def text_file(
    path: str, text: str, *, user: str = "root", group: str = "root", mode: str = "644"
) -> Commands:
    """Write a file, shown in a diff also when its folder is still to be made."""
    # One look, where pyinfra's own operation takes two.
    if host.get_fact(FileDigest, path=path) == Digest(digest(text), user, group, mode):
        host.noop(f"{path} is as it should be")
        return
    yield from files.put._inner(
        src=StringIO(text), dest=path, user=user, group=group, mode=mode, create_remote_dir=False
    )


@operation()
def secret_file(
    path: str, text: str, *, user: str = "root", group: str = "root", mode: str = "600"
) -> Commands:
    """Write a file that no one else ever sees: on standard input, private from its first byte."""
    have = host.get_fact(FileDigest, path=path)
    if have is None or have.sha256 != digest(text):
        if state.config.DIFF:
            host.log(f"Will write {path} (its contents are secret)", logger.info)
        new = QuoteString(f"{path}.new")
        yield StringCommand(
            "umask 077 && cat >", new, "&& chown", f"{user}:{group}", new,
            "&& chmod", mode, new, "&& mv -fT", new, QuoteString(path),
            _stdin=text.removesuffix("\n"),
        )  # fmt: skip
    elif (have.user, have.group, have.mode) != (user, group, mode):
        file = QuoteString(path)
        yield StringCommand("chmod", mode, file, "&& chown", f"{user}:{group}", file)
    else:
        host.noop(f"{path} is as it should be")


@operation()
def running(
    unit: str,
    *,
    started: str,
    reads: Mapping[str, str | None],
    changed: Iterable[OperationMeta] = (),
    installed: OperationMeta | None = None,
) -> Commands:
    """Run ``unit``, enabled, and restarted when a file that it reads is newer than its process.

    ``started`` is a file that the start of the unit writes. ``reads`` are the files and, where a
    step before this one writes them, their texts: so a plan sees the restart that this brings.
    ``changed`` are further steps that it has to follow. File times also bring the restart that a
    broken run left undone. ``installed`` is the step that installs the unit, if that also enables
    and starts it, and if what it reads is there before.
    """
    if installed and not installed.is_complete() and installed.will_change:
        host.noop(f"{unit} is started by its package")
        return
    have = host.get_fact(UnitState, unit=unit, started=started, reads=list(reads))
    if have.drop_ins:
        host.log(f"{unit} is also changed by {', '.join(have.drop_ins)}: left alone", logger.info)
    rewritten = [
        path
        for path, text in reads.items()
        if text is not None and have.digests.get(path) != digest(text)
    ]
    commands = []
    if not have.enabled:
        commands.append(f"systemctl enable {unit}")
    if not have.active or have.newer or rewritten or will_have_changed(changed):
        commands.append(f"systemctl restart {unit}")
    if not commands:
        host.noop(f"{unit} runs, and nothing that it reads is newer")
        return
    yield "systemctl daemon-reload"
    yield from commands


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_BEGIN = "# BEGIN pyinfra-airflow"


_END = "# END pyinfra-airflow"


def with_block(lines: Sequence[str], ours: Sequence[str]) -> list[str]:
    """Put our block first, where the first match wins, and leave the rest as it is."""
    return [_BEGIN, *ours, _END, *without_block(lines)]


def without_block(lines: Sequence[str]) -> list[str]:
    """Take our block away."""
    rest = list(lines)
    if _BEGIN in rest and _END in rest:
        rest = rest[: rest.index(_BEGIN)] + rest[rest.index(_END) + 1 :]
    return rest
