"""The settings of a host: their parts put together, and the checks across them."""

from __future__ import annotations

import re
from collections.abc import Callable

from pydantic import model_validator

from ..catalog import releases
from ..catalog.servers import PROXY
from . import (
    configuration,
    controller,
    dags,
    environment,
    index,
    logs,
    monitoring,
    objects,
    packages,
    postgresql,
    proxy,
    rabbitmq,
    redis,
    reports,
    secrets,
)
from .access import Access
from .configuration import Configuration
from .controller import Controller
from .dags import Dags
from .day_two import DayTwo
from .environment import Environment
from .firewall import Firewall
from .index import Index
from .logs import Logs
from .monitoring import Monitoring
from .objects import Objects
from .packages import Packages
from .pgbouncer import Pgbouncer
from .places import CONFIGURATION, SYSTEM_CA
from .postgresql import Postgresql
from .proxy import Proxy
from .rabbitmq import Rabbitmq
from .redis import Redis
from .reports import Reports
from .server import Server
from .services import Services
from .types import SettingsError
from .web import Web
from .workers import Workers


# pydantic has the fields of the last part first, and the table of settings follows it.
class Model(
    Firewall,
    Proxy,
    Redis,
    Rabbitmq,
    Pgbouncer,
    Postgresql,
    Index,
    Monitoring,
    Controller,
    Objects,
    Access,
    Services,
    Reports,
    Logs,
    DayTwo,
    Workers,
    Web,
    Configuration,
    Environment,
    Dags,
    Packages,
):
    """All parts of the settings."""

    @model_validator(mode="after")
    def _possible(self) -> Model:
        for sentence in (check(self) for check in _CHECKS):
            if sentence:
                raise ValueError(sentence)
        return self

    @property
    def servers(self) -> dict[str, Server]:
        """Each server that can be ours, by its name."""
        return {each.name: each for each in (self.postgresql, self.rabbitmq, self.redis)}

    @property
    def broker(self) -> str:
        """The broker that Airflow uses: ``rabbitmq`` or ``redis``."""
        return "redis" if self.redis_host else "rabbitmq"

    @property
    def foreign(self) -> tuple[str, ...]:
        """The external ones among the database and the broker."""
        used = ("postgresql", self.broker) if self.airflow_components else ()
        return tuple(server for server in used if server not in self.topology.servers)

    @property
    def database_port(self) -> int:
        """The port at which Airflow reaches its database."""
        return self.pgbouncer_port if self.topology.pooled else self.postgresql_port

    def ca_path(self, server: str) -> str:
        """Return the file of a host with the authorities that vouch for ``server``."""
        given = self.servers[server].ca
        return f"{CONFIGURATION}/{server}-ca.crt" if given else SYSTEM_CA

    def server(self, part: str) -> str:
        """Return the address of one of the servers; SettingsError when none is known."""
        address = self.servers[part].host
        if address is None:
            raise SettingsError(
                f"no host runs {part}: put one in the group {part}, or set {part}_host"
            )
        return address

    def check_placed(self, name: str) -> None:
        """Raise SettingsError if the inventory gives the host ``name`` nothing to do."""
        if not self.topology.components:
            raise SettingsError(
                f"host {name} is in no component's group: put it in one or more of "
                f"{', '.join(releases.GROUPS)}"
            )


def _unknown_servers(settings: Model) -> str | None:
    for part in ("postgresql", settings.broker) if settings.airflow_components else ():
        settings.server(part)
    return None


def _guessed_secrets(settings: Model) -> str | None:
    for name in secrets.GENERATORS:
        if settings.hidden(name) is not None and secrets.is_guessed(settings.secret(name)):
            return (
                f"{name} is empty or publicly known: give another, "
                "or leave it out to have one generated"
            )
    return None


def _unfit_passwords(settings: Model) -> str | None:
    for name in secrets.GENERATORS:
        if not settings.secret(name).isprintable():
            return f"{name} has a line break or another invisible character"
    if not settings.release.plain_passwords:
        return None
    for name in ("postgresql_password", "rabbitmq_password"):
        if not re.fullmatch(r"[A-Za-z0-9_-]*", settings.secret(name)):
            return (
                f"{name} has a character that Airflow {settings.airflow_version} can't read in a "
                "URL: use letters, digits, _ and -"
            )
    return None


def _same_database_port(settings: Model) -> str | None:
    if settings.topology.pooled and settings.pgbouncer_port == settings.postgresql_port:
        return (
            f"port {settings.pgbouncer_port} is used twice: give pgbouncer_port and"
            " postgresql_port their own"
        )
    return None


def _same_web_port(settings: Model) -> str | None:
    here = settings.topology.components
    taken = [settings.airflow_web_port] if settings.release.web.name in here else []
    for port in settings.proxy_ports if PROXY.group in here else ():
        if port in taken:
            return (
                f"port {port} is used twice on {settings.topology.name}: give each of "
                "proxy_port, proxy_http_port and airflow_web_port its own"
            )
        taken.append(port)
    return None


_CHECKS: tuple[Callable[[Model], str | None], ...] = (
    *packages.CHECKS,
    *dags.CHECKS,
    *environment.CHECKS,
    *configuration.CHECKS,
    *logs.CHECKS,
    *reports.CHECKS,
    *objects.CHECKS,
    *controller.CHECKS,
    *monitoring.CHECKS,
    *index.CHECKS,
    *postgresql.CHECKS,
    *rabbitmq.CHECKS,
    *redis.CHECKS,
    *proxy.CHECKS,
    _unknown_servers,
    _guessed_secrets,
    _unfit_passwords,
    _same_database_port,
    _same_web_port,
)
