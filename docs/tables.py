"""The tables of settings, which say what the settings themselves say."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tasks.settings import DERIVED, Settings


def rows() -> Mapping[str, str]:
    """Return the row of each setting, by its name."""
    fields = Settings.model_fields.items()
    return {name: _row(name) for name, _ in fields if name not in DERIVED}


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    default = field.get_default(call_default_factory=True)
    shown = "" if default in (None, (), {}) else f"`{_plain(default)}`"
    return f"| `{name}` | {shown} | {field.description} |"


def _plain(default: object) -> str:
    return ",".join(default) if isinstance(default, tuple) else str(default)


def named(line: str) -> str:
    """Return the setting that a line of a table is about; empty when it is about none."""
    found = re.match(r"\| `(\w+)` \|", line)
    return found[1] if found else ""


def refreshed(page: str) -> str:
    """Bring the rows of a page up to date: a new setting comes after the one before it."""
    wanted, lines = rows(), page.splitlines()
    known = {named(line) for line in lines}
    followers: dict[str, list[str]] = {}
    before = ""
    for name in wanted:
        before = name if name in known else before
        followers.setdefault(before, []).append(wanted[name])
    fresh = [each for line in lines for each in _fresh(line, followers)]
    return "\n".join(fresh) + "\n"


def _fresh(line: str, followers: Mapping[str, list[str]]) -> list[str]:
    return followers.get(named(line), []) if named(line) else [line]
