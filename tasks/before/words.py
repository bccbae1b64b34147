"""Wording that several findings share. Pure."""

from __future__ import annotations

from collections.abc import Iterable

ADOPT = "set airflow_adopt = True to use it"
_NAMED = 5
"""Things that are named before the rest is counted."""


def listed(things: Iterable[str]) -> str:
    """Join the first few things and count the rest."""
    every = list(dict.fromkeys(things))
    more = len(every) - _NAMED
    return ", ".join(every[:_NAMED]) + (f" and {more} more" if more > 0 else "")
