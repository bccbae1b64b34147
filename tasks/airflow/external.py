"""An external database and broker: what is missing there is created, or named."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping
from io import StringIO
from typing import Any
from urllib.parse import unquote, urlsplit

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation

from ..catalog import distributions
from ..deploys import deploy
from ..host.look import REST_OF_INPUT, Beyond, look
from ..host.machine import of_this_host
from ..host.packages import debs_here, packages
from ..host.steps import Commands
from ..run import executing
from ..servers.passwords import rabbitmq_hash, scram_verifier
from ..settings import CONFIGURATION, Settings
from . import airflow_cfg
from .helpers import helper

_SCRIPT = "airflow_servers.py"


@deploy("Foreign servers")
def deploy_foreign(settings: Settings | None = None) -> None:
    """Prepare an external database and broker, from one host for all.

    It needs ``deploy_airflow``. What is missing there is created if ``postgresql_admin_url`` or
    ``rabbitmq_admin_url`` allows it; otherwise the run fails and names it.
    """
    settings = of_this_host(settings)
    if not settings.topology.database_here:
        return
    if "postgresql" not in settings.topology.components:
        # What backs up and restores.
        packages(
            name="Install the database's client",
            packages=distributions.APT["client"],
            debs=debs_here(settings),
        )
    if settings.foreign:
        prepared(
            name=f"Prepare {' and '.join(settings.foreign)}",
            wanted=wanted(settings),
            mend=mend(settings),
        )


def wanted(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what ``airflow_servers.py`` reads; it holds secrets."""
    give = {"postgresql": _database, "rabbitmq": _rabbitmq, "redis": _redis}
    return {server: give[server](settings) for server in settings.foreign}


def _database(settings: Settings) -> dict[str, Any]:
    admin = settings.secret("postgresql_admin_url")
    return {
        "ca": settings.ca_path("postgresql"),
        "admin": airflow_cfg.with_tls(settings, admin) if admin else "",
        "databases": [
            {
                "url": airflow_cfg.database_url(settings, _LIBPQ, each),
                "role": each.user,
                "database": each.name,
                "verifier": scram_verifier(each.password),
            }
            for each in settings.databases
        ],
    }


_LIBPQ = "postgresql://{user}:{password}@{host}:{port}/{database}"


def _rabbitmq(settings: Settings) -> dict[str, Any]:
    admin = urlsplit(settings.secret("rabbitmq_admin_url"))
    login = f"{unquote(admin.username or '')}:{unquote(admin.password or '')}"
    return {
        "what": f"virtual host {settings.rabbitmq_vhost}",
        "url": airflow_cfg.broker_url(settings),
        "ssl": airflow_cfg.broker_tls(settings),
        "vhost": settings.rabbitmq_vhost,
        "user": settings.rabbitmq_user,
        "hash": rabbitmq_hash(settings.secret("rabbitmq_password")),
        "admin": f"{admin.scheme}://{admin.netloc.rpartition('@')[2]}" if admin.netloc else "",
        "authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
        "ca": settings.ca_path("rabbitmq"),
    }


def _redis(settings: Settings) -> dict[str, Any]:
    return {
        "ca": settings.ca_path("redis"),
        "what": f"database {settings.redis_database} of Redis",
        "url": airflow_cfg.broker_url(settings),
        "ssl": airflow_cfg.broker_tls(settings),
    }


def mend(settings: Settings) -> dict[str, str]:
    """Return for each server how to create by hand what is missing; empty if the run does it."""
    said = {
        "postgresql": "set postgresql_admin_url, or have its administrator run"
        f" {'; '.join(_statements(settings))}",
        "rabbitmq": f"set rabbitmq_admin_url, or create the virtual host {settings.rabbitmq_vhost}"
        f" and the user {settings.rabbitmq_user} with all permissions there",
        "redis": "check redis_url or the redis_ settings",
    }
    made = [name for name in ("postgresql", "rabbitmq") if settings.secret(f"{name}_admin_url")]
    return {server: "" if server in made else said[server] for server in settings.foreign}


def _statements(settings: Settings) -> list[str]:
    """Return the SQL that makes the roles and databases; whoever runs it chooses the passwords."""
    found = []
    for each in settings.databases:
        found += [
            f"CREATE ROLE {each.user} LOGIN PASSWORD '...'",
            f"CREATE DATABASE {each.name} OWNER {each.user}",
        ]
    return found


@operation()
def prepared(wanted: Mapping[str, Any], mend: Mapping[str, str]) -> Commands:
    """Create what is missing on the servers, or fail with a sentence that names it.

    A plan for a host without Airflow can't ask: it then takes a server with an administrator's
    login to be new, and another one to be ready.
    """
    text = json.dumps(wanted)
    missing = look(ForeignServers, stdin=StringIO(text))
    if missing is None and not executing():
        missing = {server: {} for server in mend if not mend[server]}
    if missing == {}:
        host.noop("the servers have what Airflow needs")
        return
    sentences = [
        f"{server} does not let Airflow in ({_listed(why)}): {mend[server]}"
        for server, why in (missing or {}).items()
        if mend[server]
    ]
    if sentences:
        yield f"echo {shlex.quote('. '.join(sentences))} >&2; false"
        return
    yield StringCommand(helper(_SCRIPT), "make", _stdin=text)


def _listed(why: Mapping[str, str]) -> str:
    return "; ".join(f"{what}: {reason}" for what, reason in why.items())


class ForeignServers(Beyond, FactBase[dict[str, dict[str, str]] | None]):
    """Server -> what is missing there -> why, as ``airflow_servers.py`` says; its input is secret.

    None before Airflow is installed, and where it can't run.
    """

    @staticmethod
    def default() -> dict[str, dict[str, str]] | None:
        return None

    def command(self) -> str:
        script = helper("airflow_servers.py")
        there = f"ls {CONFIGURATION}/*.env >/dev/null 2>&1"
        asked = f"if {there}; then {script} look 2>/dev/null || echo null; else echo null; fi"
        return f"{asked}; {REST_OF_INPUT}"

    def process(self, output: list[str]) -> dict[str, dict[str, str]] | None:
        missing: dict[str, dict[str, str]] | None = json.loads(output[-1])
        return missing
