"""What may be shown of a file. Pure: text in, text out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

HIDDEN = "***"

# Up to the last @, for a password may hold one.
_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s\"']*@", re.IGNORECASE)
_WORDS = (
    "passw|passphrase|secret|token|fernet|credential|dsn|kwargs|transport|api_?key|authorization"
)
_ENDS = "_key|pass|pwd|_pw"
_NAMED = re.compile(
    rf"(?P<name>\b(?:[\w.-]*(?:{_WORDS})[\w.-]*|[\w.-]*(?:{_ENDS}))[\"']?[ \t]*[=:][ \t]*)"
    r"(?P<value>\"(?:\\.|[^\"\\])*\"(?=[ \t]*(?:[,}\]]|$))|.*)",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"[\w.-]*[_.-](?:files?|paths?|encryption)\b", re.IGNORECASE)
_PATH = re.compile(r"[\"']?/(?:etc|home|opt|root|run|srv|tmp|usr|var)/")
_VARIABLE = re.compile(r'^([A-Za-z_]\w*)="', re.MULTILINE | re.ASCII)


def masked(text: str, values: Iterable[str] = ()) -> list[str]:
    """Return the lines of a text without ``values``, logins in URLs and what is named a secret.

    What is further to the right than such a name belongs to its value.
    """
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN) if len(value) > 3 else text
    lines: list[str] = []
    secret = None
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        if secret is not None and depth > secret:
            lines.append(" " * depth + HIDDEN)
            continue
        shown = _NAMED.sub(_without_value, _LOGIN.sub(rf"\1{HIDDEN}@", line))
        secret = depth if shown != line or _continues(line) else None
        lines.append(shown)
    return lines


def _without_value(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    open_ = not value or _PATH.match(value) or _NO_SECRET.match(name)
    return found[0] if open_ else name + HIDDEN


def _continues(line: str) -> bool:
    """Return whether a line has the name of a secret, whose value stands below it."""
    found = _NAMED.search(line)
    return bool(found and not found["value"] and not _NO_SECRET.match(found["name"]))


def variables(text: str) -> dict[str, str]:
    """Return an environment file as name -> all of its text, which may have several lines."""
    starts = [(found[1], found.start()) for found in _VARIABLE.finditer(text)]
    ends = [*(start for _, start in starts[1:]), len(text)]
    return {
        name: text[start:end].removesuffix("\n")
        for (name, start), end in zip(starts, ends, strict=True)
    }


def salted(salt: str, text: str) -> str:
    """Return the digest by which a host tells that it has the same ``text``."""
    return hashlib.sha256(f"{salt}\n{text}\n".encode()).hexdigest()


def difference(have: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Return which names are changed, added and removed between two sets of digests."""
    parts = {
        "changes": sorted(name for name in wanted if have.get(name, wanted[name]) != wanted[name]),
        "adds": sorted(wanted.keys() - have.keys()),
        "removes": sorted(have.keys() - wanted.keys()),
    }
    return "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts.items() if names)
