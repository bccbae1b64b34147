"""URLs of external servers, taken apart into settings. Pure.

Errors never quote a URL: nobody knows where its password ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from ..catalog import servers

_EXTERNAL = {each.group: each for each in servers.BACKENDS}
FORM = "SCHEME://USER:PASSWORD@HOST:PORT/, with special characters of user and password as %xx"
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_SEVERAL = re.compile(r"://.*://|@[^/?#]*[,;]|//[^@/?#]*[,;][^@/?#]*([/?#]|$)")


def split(url: str) -> SplitResult | None:
    """Split a URL into its parts; None if it is not one."""
    # The errors of urlsplit, and of its port, quote what may be a password.
    with suppress(ValueError):
        read = urlsplit(url)
        _ = read.port
        return read
    return None


def refusal(name: str, url: str) -> str | None:
    """Return a refusal if the setting ``name`` is not a URL; None for a URL, and for a path."""
    return f"{name} is not a URL: give {FORM}" if split(url) is None else None


def admin_refusal(server: str, text: str, schemes: Sequence[str]) -> str | None:
    """Return why a server's administrator can't be reached by the URL; None where none is given."""
    url = split(text)
    if not text or (url and url.scheme in schemes and url.hostname and url.password):
        return None
    return f"{server}_admin_url can't be used: give {schemes[0]}://USER:PASSWORD@HOST:PORT"


def parts(server: str, url: str) -> dict[str, Any]:
    """Return the settings that the URL of ``server`` stands for.

    ValueError says what is wrong with it.
    """
    read, schemes = _read(server, url.strip()), _EXTERNAL[server].schemes
    found: dict[str, Any] = {
        f"{server}_host": read.hostname,
        f"{server}_password": unquote(read.password or ""),
    }
    if read.port:
        found[f"{server}_port"] = read.port
    if read.username and server != "redis":
        found[f"{server}_user"] = unquote(read.username)
    if path := unquote(read.path.removeprefix("/")):
        found[_EXTERNAL[server].path] = _number(path) if server == "redis" else path
    if schemes[read.scheme]:
        found[f"{server}_tls"] = True
    return {**found, **_options(server, read.query)}


def _read(server: str, url: str) -> SplitResult:
    schemes = _EXTERNAL[server].schemes
    if url.partition("://")[0].lower() not in schemes:
        raise ValueError(f"give one that begins with {' or '.join(f'{s}://' for s in schemes)}")
    if _SEVERAL.search(url):
        raise ValueError(
            "it names several servers: name one, or a load balancer in front of them"
            " (in a user or a password, write , as %2C and ; as %3B)"
        )
    if not _decodes(url):
        raise ValueError(
            "it has a space, or a % that does not begin a %xx of UTF-8: write a space as %20"
            " and % as %25"
        )
    read = split(url)
    if read is None or read.port == 0 or (read.hostname and not _HOST.fullmatch(read.hostname)):
        raise ValueError(f"its host or its port can't be read: give {FORM}")
    if not read.hostname:
        raise ValueError(f"it names no host: give {FORM}")
    if not read.password:
        raise ValueError(f"it has no password: give {FORM}")
    return read


def _decodes(url: str) -> bool:
    with suppress(UnicodeDecodeError):
        unquote(url, errors="strict")
        return url.isprintable() and " " not in url and not re.search("%(?![0-9A-Fa-f]{2})", url)
    return False


def _number(path: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", path):
        raise ValueError("its path is not the number of a database")
    return int(path)


def _options(server: str, query: str) -> dict[str, Any]:
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    known = {"sslmode"} if server == "postgresql" else set()
    if not known.issuperset(options):
        rest = f"all but {known.pop()}" if known else "what follows ?"
        raise ValueError(f"it has an unsupported option: leave {rest} out")
    return {f"postgresql_{name}": value for name, value in options.items()}
