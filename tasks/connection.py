"""The SSH connection that pyinfra opened."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
from typing import Any

from pyinfra import host, state
from pyinfra.api import FactBase, operation
from pyinfra.api.exceptions import ConnectError

from .look import disturbed, look
from .operations import Commands

LOCK = "/run/lock/pyinfra-airflow"
_AFTER = "held after "
_SEEN = "airflow_last_holder"
"""Where a host's connector data has what the lock says when nobody has come in between."""
_KEPT = "airflow_lock"
"""Where a host's connector data keeps the lock."""
_OPENS_WITHIN = 10
"""Seconds in which a host has to reach what it is asked to."""


def _client() -> Any:
    """Return paramiko's client; other connectors than SSH have none."""
    return getattr(host.connector, "client", None)


def send_at_once() -> None:
    """Turn Nagle's algorithm off, which paramiko leaves on: it costs 40 ms for every command."""
    client = _client()
    connection = client.get_transport().sock if client else None
    if isinstance(connection, socket.socket):  # behind a jump host it is a channel
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def connects_anew() -> bool:
    """Return whether a new connection of this kind can be made; those without SSH need none."""
    if not _client():
        return True
    another: Any = type(host.connector)(host.connector.state, host.connector.host)
    try:
        another.connect()
    except ConnectError:
        return False
    another.client.close()
    return True


def channel_to(address: str, port: int) -> Any:
    """Open a channel from this machine to what the host reaches at ``address`` and ``port``.

    None with a connector that is this machine itself. OSError where the host has no such way.
    """
    client = _client()
    if client:
        origin = ("127.0.0.1", 0)
        return client.get_transport().open_channel(
            "direct-tcpip", (address, port), origin, timeout=_OPENS_WITHIN
        )
    if host.connector_cls.__name__ == "LocalConnector":
        return None
    raise OSError("this connector can't forward connections through the host")


@operation()
def held() -> Commands:
    """Lock the host for this run, and fail if another run has locked it.

    The lock is a process at the other end of this connection and ends with it, however that
    happens. A deploy that is part of another one finds the host held already.
    """
    ours = _KEPT in host.connector_data
    holder = _lock() if state.is_executing and _client() and not ours else None
    if holder:
        sentence = f"another run holds this host: {holder}"
        yield f"echo {shlex.quote(sentence)} >&2; false"
        return
    host.noop("no other run is on this host")


def _lock() -> str | None:
    """Take the lock and keep it for the connection's life, or return who holds it."""
    me = f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}"
    # Opened for reading: in a folder that all may write to, Linux lets nobody, not even root,
    # create a file over somebody else's.
    script = (
        f"umask 0; test -e {LOCK} || : > {LOCK}; exec 9< {LOCK};"
        f' flock -n 9 || {{ cat {LOCK}; exit 1; }}; echo "{_AFTER}$(cat {LOCK})";'
        f" echo {shlex.quote(me)} 2>/dev/null > {LOCK}; exec cat"
    )
    channel = _client().get_transport().open_session()
    channel.exec_command(f"sh -c {shlex.quote(script)}")
    holder: str = channel.makefile().readline().strip("\n")
    if not holder.startswith(_AFTER):
        return holder
    host.connector_data[_KEPT] = channel  # a channel without a reference is closed
    if host.connector_data.get(_SEEN, holder) != holder:
        disturbed()
    return None


class LastHolder(FactBase[str]):
    """Which run has held the host last."""

    default = str

    def command(self) -> str:
        return f"cat {LOCK} 2>/dev/null || true"

    def process(self, output: list[str]) -> str:
        return output[0]


def remember_the_last_holder() -> None:
    """Note who has held the host, so that `held` knows whether another run was there since."""
    host.connector_data[_SEEN] = f"{_AFTER}{look(LastHolder)}"
