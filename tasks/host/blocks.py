"""Our block of lines in somebody else's file. Pure."""

from __future__ import annotations

from collections.abc import Sequence

BEGIN, END = "# BEGIN pyinfra-airflow", "# END pyinfra-airflow"
"""Around our lines in a file of somebody's."""


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
