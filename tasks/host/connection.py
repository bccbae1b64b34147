"""The SSH connection that pyinfra opened."""

from __future__ import annotations

import getpass
import os
import shlex
import socket

from pyinfra import host
from pyinfra.api import FactBase, operation

from ..run import executing, memory, paramiko_client
from .look import disturbed, look
from .steps import Commands

LOCK = "/run/lock/pyinfra-airflow"
_AFTER = "held after "
_SEEN = "airflow_last_holder"
"""Where a host's connector data has what the lock says when nobody has come in between."""
_KEPT = "airflow_lock"
"""Where a host's connector data keeps the lock."""


def send_at_once() -> None:
    """Turn Nagle's algorithm off, which paramiko leaves on: it costs 40 ms for every command."""
    client = paramiko_client()
    connection = client.get_transport().sock if client else None
    if isinstance(connection, socket.socket):  # behind a jump host it is a channel
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@operation()
def held() -> Commands:
    """Lock the host for this run, and fail if another run has locked it.

    The lock is a process at the other end of this connection and ends with it, however that
    happens. A deploy that is part of another one finds the host held already.
    """
    ours = _KEPT in memory()
    holder = _lock() if executing() and paramiko_client() and not ours else None
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
    channel = paramiko_client().get_transport().open_session()
    channel.exec_command(f"sh -c {shlex.quote(script)}")
    holder: str = channel.makefile().readline().strip("\n")
    if not holder.startswith(_AFTER):
        return holder
    memory()[_KEPT] = channel  # a channel without a reference is closed
    if memory().get(_SEEN, holder) != holder:
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
    memory()[_SEEN] = f"{_AFTER}{look(LastHolder)}"
