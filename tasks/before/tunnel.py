"""Ask an external database through the SSH connection, where the host has no client for it yet."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import pg8000.dbapi
from paramiko import ChannelException, SSHException
from pg8000.exceptions import DatabaseError, InterfaceError
from pyinfra import host
from pyinfra.api import StringCommand

from ..run import channel_to
from ..settings import SYSTEM_CA, Settings
from .stored import DERIVED, DIRECT, PATIENCE, Stored, together

_WITHIN = 10
"""Seconds to connect, and to answer each question."""
_NO_DATABASE = "3D000"
_NOT_LET_IN = ("28000", "28P01", "42501")


class CannotAskError(Exception):
    """The database can't be asked; the message says why, without any secret."""


def ask(settings: Settings) -> Stored | None:
    """Ask the wanted database, by Airflow's login or else by the administrator's.

    None where it does not exist yet, and where Airflow is not let in, so that it can do no harm.
    CannotAskError when that can't be known.
    """
    logins = [(settings.postgresql_user, settings.secret("postgresql_password"))]
    if admin := settings.secret("postgresql_admin_url"):
        parts = urlsplit(admin)
        logins.append((unquote(parts.username or ""), unquote(parts.password or "")))
    for login in logins:
        try:
            return _asked(settings, *login)
        except DatabaseError as error:
            if _code(error) not in (_NO_DATABASE, *_NOT_LET_IN):
                raise CannotAskError(_words(error)) from None
        except (InterfaceError, OSError, SSHException) as error:
            raise CannotAskError(_words(error)) from None
    return None


def _code(error: DatabaseError) -> str:
    return error.args[0].get("C", "") if error.args and isinstance(error.args[0], dict) else ""


def _words(error: Exception) -> str:
    if isinstance(error, ChannelException):
        return f"through SSH: {error.text}"
    said = error.args[0] if error.args else ""
    return str(said.get("M", "") if isinstance(said, dict) else said or type(error).__name__)


def _asked(settings: Settings, user: str, password: str) -> Stored:
    connection = _connected(settings, user, password)
    try:
        cursor = connection.cursor()
        for sql in PATIENCE:
            cursor.execute(sql)
        questions = [*DIRECT, *(row[0] for sql in DERIVED for row in _rows(cursor, sql))]
        return together([row[0] for sql in questions for row in _rows(cursor, sql)])
    finally:
        connection.close()


def _rows(cursor: Any, sql: str) -> list[Any]:
    cursor.execute(sql)
    return list(cursor.fetchall())


def _connected(settings: Settings, user: str, password: str) -> Any:
    """Connect as libpq would by the settings' ``sslmode``."""
    mode = settings.sslmode or "prefer"
    for context in _contexts(settings, mode):
        connection = _socket(settings.server("postgresql"), settings.postgresql_port)
        try:
            return pg8000.dbapi.connect(
                user=user,
                password=password,
                host=settings.server("postgresql"),
                database=settings.postgresql_database,
                sock=connection,
                ssl_context=context,
                application_name="pyinfra-airflow",
            )
        except InterfaceError as error:
            if "refuses SSL" not in str(error) or mode not in ("prefer", "allow"):
                raise
    raise AssertionError("the last context speaks no TLS, which nobody refuses")


def _contexts(settings: Settings, mode: str) -> list[ssl.SSLContext | None]:
    if mode == "disable":
        return [None]
    context = ssl.create_default_context(cadata=_authorities(settings, mode))
    # What libpq accepts: older authorities of companies lack what Python asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = mode == "verify-full"
    if mode not in ("verify-ca", "verify-full"):
        context.verify_mode = ssl.CERT_NONE
    return [context, None] if mode in ("prefer", "allow") else [context]


def _authorities(settings: Settings, mode: str) -> str | None:
    """Return the CAs that vouch for the server: the given ones, or the host's own."""
    if settings.postgresql_ca:
        return settings.postgresql_ca.read_text()
    if mode not in ("verify-ca", "verify-full"):
        return None
    done, output = host.run_shell_command(StringCommand("cat", SYSTEM_CA), print_output=False)
    return output.stdout if done else None


def _socket(address: str, port: int) -> socket.socket:
    """Return a socket whose other end is ``address``, as the host reaches it."""
    channel = channel_to(address, port)
    if channel is None:
        return socket.create_connection((address, port), _WITHIN)
    ours, theirs = socket.socketpair()
    ours.settimeout(_WITHIN)
    for source, target in ((theirs, channel), (channel, theirs)):
        threading.Thread(target=_pump, args=(source, target), daemon=True).start()
    return ours


def _pump(source: Any, target: Any) -> None:
    """Hand on what comes from ``source``, and its end: what is under way the other way arrives."""
    with suppress(OSError, EOFError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError, EOFError):
        target.shutdown(socket.SHUT_WR)
