"""What the settings say of a server or a database, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """A server that can be ours."""

    name: str
    host: str | None
    port: int
    password: str = field(repr=False)
    tls: bool
    ca: Path | None
    certificate: Path | None
    certificate_key: Path | None
    allow: tuple[str, ...]
    """Addresses and networks of further clients."""


@dataclass(frozen=True)
class Database:
    """A database of Airflow, and the role that owns it."""

    name: str
    user: str
    password: str = field(repr=False)
