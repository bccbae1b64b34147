"""How a tool reads its command line, tells what happens and ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


class ToolError(Exception):
    """What is asked can't be done; the message says why."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help shows a module's docstring, under the name of its script."""
    return argparse.ArgumentParser(
        prog=Path(sys.argv[0]).stem,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def say(text: str) -> None:
    """Tell on the terminal what happens."""
    print(f"--> {text}", file=sys.stderr)


def ended(work: Callable[[], None]) -> int:
    """Do the work and return the exit code; of an error it says the message alone."""
    try:
        work()
    except (OSError, ValueError, ToolError) as error:
        say(str(error))
        return 1
    return 0
