"""Types of settings: what a single value may be, and how it is read."""

from __future__ import annotations

import base64
import ipaddress
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pyinfra.api.exceptions import DeployError

from . import urls


class SettingsError(DeployError):
    """A setting can't be used; the message is one sentence that names it and the fix."""


def as_list(value: Any) -> Any:
    """Accept one text with commas as well as a list."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def as_secret(value: Any) -> Any:
    """Accept pyinfra's HiddenValue as well as text."""
    return value.unmask() if hasattr(value, "unmask") else value


def _scalar(value: Any) -> Any:
    """Accept what fits on one line of airflow.cfg; a hidden value stays hidden."""
    if hasattr(value, "unmask"):
        return SecretStr(str(value.unmask()))
    if isinstance(value, bool | int | float | str | SecretStr):
        return value
    raise ValueError("give a text, a number, True or False")


def without_login(value: str) -> str:
    """Refuse a URL with a login in it."""
    if re.search("://[^/?#]*@", value) or urls.split(value) is None:
        raise ValueError("it has a login, which others could read, or a wrong port: leave it out")
    return value


def _without_password(value: str) -> str:
    if re.search("://[^/]*:[^/]*@", value):
        raise ValueError("it has a login: leave that out, see airflow_remote_logs_connection")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/") or value != value.rstrip("/") or any(c in value for c in " '\"$%"):
        raise ValueError("give an absolute path without spaces, quotes, $, % or a slash at its end")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("give an address, or a network such as 10.0.0.0/8") from None
    return value


def _fernet_key(value: SecretStr) -> SecretStr:
    for key in value.get_secret_value().split(","):
        try:
            size = len(base64.urlsafe_b64decode(key))
        except ValueError:
            size = 0
        if size != 32:
            raise ValueError("give 32 bytes in URL-safe base64, or two such keys with a comma")
    return value


def _as_lines(value: Any) -> Any:
    lines = value.splitlines() if isinstance(value, str) else value
    if isinstance(lines, (list, tuple)) and all(isinstance(line, str) for line in lines):
        return tuple(line.strip() for line in lines if line.strip())
    return lines


def _subfolder(value: str) -> str:
    if value.startswith("/") or value.endswith("/") or ".." in value.split("/"):
        raise ValueError(
            "give a path in the repository, without .. and without a slash at either end"
        )
    return value


def _exists(value: Path) -> Path:
    if not is_there(value):
        raise ValueError("there is no such file or folder on this machine")
    return value


def is_there(path: Path) -> bool:
    """Return whether this machine has a file or a folder."""
    # Of a text that is too long for a name, Path.exists raises an error that quotes it.
    with suppress(OSError, ValueError):
        return path.exists()
    return False


def _printable(value: Path) -> Path:
    if not str(value).isprintable():
        raise ValueError("give a path without line breaks and invisible characters")
    return value


SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Queue = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
Words = Annotated[tuple[str, ...], BeforeValidator(as_list)]
Queues = Annotated[tuple[Queue, ...], BeforeValidator(as_list), Field(min_length=1)]
Lines = Annotated[tuple[str, ...], BeforeValidator(_as_lines)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
FernetKey = Annotated[SecretStr, BeforeValidator(as_secret), AfterValidator(_fernet_key)]
Listen = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:*, -]+$")]
Network = Annotated[str, AfterValidator(_network)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(as_list)]
Secret = Annotated[SecretStr, BeforeValidator(as_secret)]
Kind = Literal["roles", "users", "pools", "connections", "variables"]
Scalar = Annotated[bool | int | float | str | SecretStr, BeforeValidator(_scalar)]
NodeName = Annotated[str, Field(pattern=r"^[a-z0-9_]+@[A-Za-z0-9_.-]+$")]
WebUrl = Annotated[
    str, Field(pattern=r"^https?://[^\s'\"$%]+[^\s'\"$%/]$"), AfterValidator(without_login)
]
RemoteLogs = Annotated[
    str, Field(pattern=r"^[a-z0-9]+://[^\s'\"$%]*[^\s'\"$%/]$"), AfterValidator(_without_password)
]
Connection = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,250}$")]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,253}$")]

Revision = Annotated[str, Field(pattern=r"^([A-Za-z0-9_][A-Za-z0-9_./+-]*)?$")]
Subfolder = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]*$"), AfterValidator(_subfolder)]
ExistingPath = Annotated[Path, AfterValidator(_exists)]
PrintablePath = Annotated[Path, AfterValidator(_printable)]
