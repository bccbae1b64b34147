"""What an address means: on its own host, to others, in a URL. Pure."""

from __future__ import annotations

import ipaddress

EVERYWHERE = ("0.0.0.0", "::")
"""Addresses that stand for all of a host's."""
EVERYBODY = ("0.0.0.0/0", "::/0")
"""Networks that hold everybody."""


def is_loopback(address: str) -> bool:
    """Return whether other hosts can't reach an address."""
    return address == "localhost" or address.startswith(("127.", "::1"))


def is_address(address: str) -> bool:
    """Return whether a text is an address and not a name."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def bracketed(address: str) -> str:
    """Return an address as it is written in a URL."""
    return f"[{address}]" if ":" in address else address


def reachable(address: str) -> str:
    """Return an address at which a service that listens on ``address`` answers on its own host."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, bracketed(address))
