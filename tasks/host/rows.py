"""What a check of `deploy_verify` has seen."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra import host


@dataclass(frozen=True)
class Row:
    """One check, and what was seen."""

    check: str
    host: str
    right: bool | None
    """None for what is only told: a person knows whether it is as it should be."""
    saw: str


def row(check: str, right: bool | None, saw: str) -> Row:
    """Return a row of this host."""
    return Row(check, host.name, right, saw)
