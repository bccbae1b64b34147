"""Objects of Airflow that an inventory declares: read, checked, and written as JSON. Pure.

What is wrong raises ValueError with one sentence, which has names but no values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from ..catalog.model import Release
from . import sensitive
from .secrets import is_guessed

_BUILT_IN = ("Admin", "Op", "User", "Viewer")
"""Roles whose permissions Airflow renews itself; to Public it gives none."""


def _uri(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = bool(parts.scheme and value[len(parts.scheme) :].startswith("://"))
        parts.port  # noqa: B018  reading it checks it
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("give TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA, special characters as %xx")
    return value


def _extra(value: Any) -> Any:
    """Accept Airflow's extra as a mapping or as the text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, dict):
        raise ValueError("give a mapping, or one as JSON")
    return json.dumps(value)


def _permission(value: str) -> str:
    """Return a permission as Airflow shows it: ``can_read on DAGs`` is ``can read on DAGs``."""
    action, on, resource = value.partition(" on ")
    if not (action and on and resource):
        raise ValueError("give ACTION on RESOURCE, such as can_read on DAGs")
    return f"{action.replace('_', ' ')} on {resource}"


def _words(value: Any) -> Any:
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


def _either(field: str, kind: type) -> BeforeValidator:
    """Accept a single value of a ``kind`` in place of a mapping with only that."""
    return BeforeValidator(lambda value: {field: value} if isinstance(value, kind) else value)


class _Object(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Connection(_Object):
    """A connection: a URI, or fields."""

    uri: Annotated[str, AfterValidator(_uri)] | None = None
    conn_type: Annotated[str, Field(min_length=1)] | None = None
    host: str | None = None
    login: str | None = None
    password: str | None = None
    schema_: Annotated[str | None, Field(alias="schema")] = None
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    extra: Annotated[str, BeforeValidator(_extra)] | None = None
    description: str | None = None


class Pool(_Object):
    """A pool; -1 slots are as many as one likes."""

    slots: Annotated[int, Field(ge=-1, strict=True)]
    description: str | None = None
    include_deferred: bool | None = None


class User(_Object):
    """A login."""

    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    first_name: str | None = None
    last_name: str | None = None
    password: str | None = None
    roles: Annotated[list[str], BeforeValidator(_words)] = Field(default_factory=list)


def _complete(connection: Connection) -> Connection:
    fields = connection.model_fields_set - {"uri", "description"}
    if connection.uri is None and connection.conn_type is None:
        raise ValueError("give a URI, or at least conn_type")
    if connection.uri is not None and fields:
        raise ValueError(f"give a URI or fields, not both: leave out {', '.join(sorted(fields))}")
    return connection


_Id = Annotated[str, Field(pattern=r"^[\w#!()\-.:/\\]+$", max_length=250)]
_Name = Annotated[str, Field(min_length=1, max_length=250)]
_Permissions = list[Annotated[str, AfterValidator(_permission)]]
_ADAPTERS: Mapping[str, TypeAdapter[Any]] = {
    "roles": TypeAdapter(dict[Annotated[str, Field(min_length=1, max_length=64)], _Permissions]),
    "users": TypeAdapter(dict[Annotated[str, Field(pattern=r"^\S+$", max_length=250)], User]),
    "pools": TypeAdapter(dict[_Name, Annotated[Pool, _either("slots", int)]]),
    "connections": TypeAdapter(
        dict[_Id, Annotated[Connection, _either("uri", str), AfterValidator(_complete)]]
    ),
    "variables": TypeAdapter(dict[_Name, JsonValue]),
}
KINDS = tuple(_ADAPTERS)
"""In the order in which they need each other."""


def read(kind: str, value: Any) -> SecretStr:
    """Return the JSON of what is declared: a mapping of names, or a file that has one as JSON."""
    adapter = _ADAPTERS[kind]
    try:
        objects = adapter.validate_python(_plain(value))
    except ValidationError as error:
        raise ValueError(sensitive.refusal(error)) from None
    content = adapter.dump_python(objects, by_alias=True, exclude_none=True, exclude_unset=True)
    return SecretStr(json.dumps(content))


def _plain(value: Any) -> Any:
    """Read a file, and take secrets out of what hides them."""
    if isinstance(value, SecretStr):
        return json.loads(value.get_secret_value())
    if isinstance(value, str | Path):
        return _unhidden(_of_file(Path(value)))
    return _unhidden(value)


def _unhidden(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if hasattr(value, "unmask"):  # pyinfra's HiddenValue
        return _unhidden(value.unmask())
    if isinstance(value, Mapping):
        return {key: _unhidden(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_unhidden(each) for each in value]
    return value


def _of_file(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"the file can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is not in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the file {path} is not JSON: line {error.lineno}, {error.msg}") from None


def unusable(kind: str, json_text: str, release: Release, administrator: str) -> str | None:
    """Return a sentence about what a release can't have of the declared objects, if anything."""
    lacks = release.lacks
    known = f"Airflow {release.version} knows no"
    if kind in lacks:
        return f"{known} {kind}: leave it out"
    content = json.loads(json_text)
    for name, each in content.items():
        for key in each if isinstance(each, dict) else ():
            if f"{kind}.{key}" in lacks:
                return f"{known} {key} of {kind}, which {name} has: leave it out"
    return next(_CHECKS[kind](content, release, administrator), None) if content else None


def _roles(content: Any, release: Release, administrator: str) -> Iterator[str]:
    for name in content:
        if name in _BUILT_IN:
            yield f"Airflow itself manages what {name} may do: choose another name"


def _users(content: Any, release: Release, administrator: str) -> Iterator[str]:
    needed = "password" if "users.roles" in release.lacks else "roles"
    for name, user in content.items():
        if name.lower() == administrator.lower():
            yield f"{name} is the administrator: see airflow_admin_password and _email"
        if not user.get(needed):
            yield f"{name} has no {needed}: give some"
        if is_guessed(user.get("password", "-")):
            yield f"the password of {name} is empty or publicly known: give another"


def _connections(content: Any, release: Release, administrator: str) -> Iterator[str]:
    for name, connection in content.items():
        uri = connection.get("uri", "")
        if "quoted URIs" in release.lacks and re.search("[%?]", uri):
            yield f"Airflow {release.version} reads no % or ? in a URI: give fields for {name}"
    yield from _ascii(content, release, administrator)


def _ascii(content: Any, release: Release, administrator: str) -> Iterator[str]:
    for name, each in content.items():
        text = json.dumps(each, ensure_ascii=False)
        if "letters beyond ASCII" in release.lacks and not text.isascii():
            yield f"Airflow {release.version} only stores ASCII: see {name}"


def _pools(content: Any, release: Release, administrator: str) -> Iterator[str]:
    yield from ()


_CHECKS = {
    "roles": _roles,
    "users": _users,
    "pools": _pools,
    "connections": _connections,
    "variables": _ascii,
}
