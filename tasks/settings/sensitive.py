"""What may be a secret, and how it is kept out of what people read. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import SecretStr, ValidationError

_SECRET_KEY = re.compile(
    r"password|passwd|passphrase|secret|token|credential|kwarg|transport|apikey"
    r"|(^|[_.-])(key|pass|pwd|dsn|basic_auth|jaas_config)([_.-]|$)"
)
"""What names of keys contain whose values are credentials."""
_SECRET_TEXT = re.compile(
    r"://.*@|PRIVATE KEY"
    r"|(password|passwd|pwd|secret|token|api_?key|access_?key|credentials?|authorization|sig)"
    r"[\"']?\s*[:=]",
    re.IGNORECASE,
)
_PLAIN = ("", "true", "false", "none")
_HARMLESS = re.compile(r"[0-9.:/*-]{0,18}")
"""A number, an address or a network: too little for a secret."""


def has_login(url: str) -> bool:
    """Return whether a URL, or what should be one, has a user or a password in it."""
    return "@" in url.partition("://")[2]


def looks_secret(section: str, key: str, value: object) -> bool:
    """Return whether a value of airflow.cfg has to be hidden though it was given as plain text."""
    if isinstance(value, SecretStr):
        return True
    text = str(value)
    if isinstance(value, bool) or text.lower() in _PLAIN:
        return False
    # The command that prints a secret is none, and old releases read it from airflow.cfg alone.
    named = not key.endswith("_cmd") and _SECRET_KEY.search(key.lower())
    return bool(named or _SECRET_TEXT.search(text))


def shown(value: Any) -> str:
    """Return a refused value as part of a sentence; empty if it might be a secret."""
    if isinstance(value, str):
        harmless = bool(_HARMLESS.fullmatch(value))
    else:
        harmless = isinstance(value, int | float) or value in ([], (), {})
    return repr(value) if harmless else ""


def refusal(error: ValidationError, place: Sequence[int | str] | None = None) -> str:
    """Return pydantic's first finding and its place in a setting, but not the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    words = [str(word) for word in (first["loc"] if place is None else place) if word != "[key]"]
    where = f"in {', '.join(map(named, words))}: " if words else ""
    return f"{where}{message[0].lower()}{message[1:]}"


def named(name: str) -> str:
    """Return a name as part of a sentence, unless it is a URL with a login."""
    return "a name with a login" if has_login(name) else name
