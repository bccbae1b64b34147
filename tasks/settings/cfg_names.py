"""Which sections and keys airflow.cfg and the environment can hold. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from pydantic import SecretStr

from .sensitive import named

Config = Mapping[str, Mapping[str, object]]

_VARIABLE = re.compile(r"([A-Za-z0-9]+(?:_[A-Za-z0-9]+)*)\n([A-Za-z0-9]\w*)", re.ASCII)
_SECTION = re.compile(r"[^\s\[\]]([^\[\]]*[^\s\[\]])?")
_KEY = re.compile(r"[^\s\[=:#;]([^=:]*[^\s=:])?")
_TWICE = (
    "differs from another key only in upper and lower case, or in . and _, which are the same in"
    " the environment: leave one out"
)
_LOST_BY_PYTHON_2 = re.compile(r"%\(|\s;|[^ -~]|^\"\"$")


def variable(section: str, key: str) -> str:
    """Return the environment variable that Airflow reads for a key; empty if it can't have one."""
    if not _VARIABLE.fullmatch(f"{section}\n{key}"):
        return ""
    return f"AIRFLOW__{section.upper()}__{key.upper()}"


def unusable(config: Config) -> str | None:
    """Return what airflow.cfg can't hold of ``config``, if anything."""
    return next(_unusable(config), None)


def _unusable(config: Config) -> Iterator[str]:
    for section, keys in config.items():
        if not _holds(_SECTION, section) or section == "DEFAULT":
            yield f"airflow.cfg can't have a section [{_printed(section)}]: give it another name"
        for key, value in keys.items():
            if not _holds(_KEY, key):
                where = f"{_printed(key)} in [{named(section)}]"
                yield f"airflow.cfg can't have a key {where}: give it another name"
            if re.search(r"[\n\r\0]", text(value)):
                yield f"[{named(section)}] {named(key)} must be one line"


def lost(config: Config, *, python_2: bool) -> str | None:
    """Return which secret Airflow would not find where it has to stand, if any."""
    names = Counter(_alike(section, key) for section, keys in config.items() for key in keys)
    for section, keys in config.items():
        for key, value in keys.items():
            if isinstance(value, SecretStr):
                twice = names[_alike(section, key)] > 1
                why = _TWICE if twice else _missed(section, key, text(value), python_2)
                if why:
                    return f"[{named(section)}] {named(key)} {why}"
    return None


def _alike(section: str, key: str) -> str:
    """Return what names have in common that Airflow reads from the same variable."""
    return f"{section.replace('.', '_')}\n{key}".upper()


def _missed(section: str, key: str, value: str, python_2: bool) -> str:
    if variable(section, key):
        return ""
    # In [team=section] of Airflow 3 the team's name is as it was written.
    read = section.rpartition("=")[2] + key
    if read != read.lower():
        return "would not be found by Airflow: write section and key in lower case"
    if value != value.strip():
        return "begins or ends with a space, which airflow.cfg can't keep: change the value"
    if python_2 and _LOST_BY_PYTHON_2.search(value):
        return "has a character that this release would misread in airflow.cfg: change the value"
    return ""


def text(value: object) -> str:
    """Return a value in plain text."""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _holds(pattern: re.Pattern[str], name: str) -> bool:
    return bool(pattern.fullmatch(name)) and name.isprintable()


def _printed(name: str) -> str:
    return named(name.encode("unicode_escape").decode())
