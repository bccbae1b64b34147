"""What operations have in common: barriers, log messages and refusals."""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable, Sequence

from pyinfra import host, logger
from pyinfra.api import (
    FactBase,
    FileDownloadCommand,
    FileUploadCommand,
    FunctionCommand,
    QuoteString,
    StringCommand,
    operation,
)
from pyinfra.api.operation import OperationMeta

from ..run import becoming, executing
from ..settings import SettingsError

Command = str | StringCommand | FileUploadCommand | FileDownloadCommand | FunctionCommand
Commands = Generator[Command, None, None]


def will_have_changed(operations: Iterable[OperationMeta]) -> bool:
    """Return whether ``operations`` will change in a plan, or did change in a run."""
    return any(op.did_change() if op.is_complete() else op.will_change for op in operations)


def can_not_be_asked(answer: object) -> bool:
    """Report in a plan that a server is down: it is then assumed to be as it should be.

    Starting it stands in the plan, and the run asks again.
    """
    return answer in (None, "unknown") and not executing()


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


def refused(sentence: str) -> Commands:
    """Fail with a sentence, in a plan too."""
    if not executing():
        raise SettingsError(f"host {host.name}: {sentence}")
    yield StringCommand("echo", QuoteString(sentence), ">&2; false")


def run_quietly(command: StringCommand) -> str:
    """Run a command as the present step would, and give what it prints; it is shown nowhere."""
    done, output = host.run_shell_command(command, **becoming())
    return output.stdout if done else ""


class Connections(FactBase[int]):
    """How many connections to a TCP ``port`` of the host are established."""

    default = int

    def command(self, port: int) -> str:
        return f"ss -Htn state established '( sport = :{port} )' 2>/dev/null | wc -l"

    def process(self, output: list[str]) -> int:
        return int(output[-1])


def stays(what: str, port: int) -> bool:
    """Return whether somebody still uses a server, which then stays; a plan can't know that."""
    if not executing() or not (used := host.get_fact(Connections, port=port)):
        return False
    host.log(f"{what} stays until the next run: it has {used} connections", logger.warning)
    return True
