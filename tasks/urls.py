"""URLs of servers that are not ours, taken apart into settings. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_SCHEMES = {
    "postgresql": {"postgresql": False, "postgres": False},
    "rabbitmq": {"amqp": False, "amqps": True},
    "redis": {"redis": False, "rediss": True},
}
"""Server -> scheme -> whether it means TLS."""
_PATH = {
    "postgresql": "postgresql_database",
    "rabbitmq": "rabbitmq_vhost",
    "redis": "redis_database",
}


def parts(server: str, url: str) -> dict[str, Any]:
    """Give the settings that the URL of ``server`` stands for.

    ValueError says what is wrong with it, without any secret.
    """
    schemes = _SCHEMES[server]
    read = urlsplit(url)
    if read.scheme not in schemes:
        raise ValueError(f"give one that begins with {' or '.join(f'{s}://' for s in schemes)}")
    if not read.hostname:
        raise ValueError("it names no host")
    if not read.password:
        raise ValueError("it has no password")
    found: dict[str, Any] = {
        f"{server}_host": read.hostname,
        f"{server}_password": unquote(read.password),
    }
    if read.port:
        found[f"{server}_port"] = read.port
    if read.username and server != "redis":
        found[f"{server}_user"] = unquote(read.username)
    if path := unquote(read.path.removeprefix("/")):
        found[_PATH[server]] = _number(path) if server == "redis" else path
    if schemes[read.scheme]:
        found[f"{server}_tls"] = True
    return {**found, **_options(server, read.query)}


def _number(path: str) -> int:
    if not path.isdigit():
        raise ValueError("its path is not the number of a database")
    return int(path)


def _options(server: str, query: str) -> dict[str, Any]:
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    known = {"sslmode"} if server == "postgresql" else set()
    if unknown := sorted(set(options) - known):
        raise ValueError(f"its option {unknown[0]} is not known here")
    return {f"postgresql_{name}": value for name, value in options.items()}
