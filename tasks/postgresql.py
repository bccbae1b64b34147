"""PostgreSQL: the server, who may come in, and Airflow's role and database."""

from __future__ import annotations

import ipaddress

from pyinfra import host

from .deploys import deploy
from .operations import cluster_access, cluster_running, cluster_settings, database, role
from .resources import template
from .settings import Settings
from .system import packages


@deploy("PostgreSQL")
def deploy_postgresql(settings: Settings | None = None) -> None:
    """Install PostgreSQL with a role and a database for Airflow; works alone."""
    settings = Settings.of(host, settings)
    packages("Install the server", ["postgresql"])
    text = template("postgresql.conf", settings=settings, listen=listen(settings))
    cluster_settings(name="Configure the server", text=text)
    opened = cluster_access(name="Configure who may connect", lines=hba_lines(settings))
    cluster_running(name="Run the server", text=text, opened=opened)
    _role_and_database(settings, "")
    if settings.release.results_apart:
        _role_and_database(settings, "results_")


def _role_and_database(settings: Settings, part: str) -> None:
    user = getattr(settings, f"postgresql_{part}user")
    name = getattr(settings, f"postgresql_{part}database")
    role(
        name=f"Create the role {user}",
        role=user,
        password=settings.secret(f"postgresql_{part}password"),
        superuser=settings.postgresql_superuser,
    )
    database(name=f"Create the database {name}", database=name, owner=user)


def listen(settings: Settings) -> str:
    """Give ``listen_addresses``: loopback, and the host's address where others need it."""
    if settings.postgresql_listen_addresses is not None:
        return settings.postgresql_listen_addresses
    others = settings.topology.hosts or settings.postgresql_allow
    return f"localhost,{settings.topology.address}" if others else "localhost"


def hba_lines(settings: Settings) -> list[str]:
    """Give one line of pg_hba.conf for each network and each database that it may use."""
    here, topology = ("127.0.0.1", "::1"), settings.topology
    metadata = [*map(_network, (*here, *topology.database_hosts)), *settings.postgresql_allow]
    lines = _lines(settings, "", metadata)
    if settings.release.results_apart:
        lines += _lines(settings, "results_", list(map(_network, (*here, *topology.hosts))))
    return lines


def _lines(settings: Settings, part: str, networks: list[str]) -> list[str]:
    name = getattr(settings, f"postgresql_{part}database")
    user = getattr(settings, f"postgresql_{part}user")
    return [f"host {name} {user} {network} {settings.postgresql_auth}" for network in networks]


def _network(address: str) -> str:
    """Write an address as pg_hba.conf wants it; a name stands as it is."""
    try:
        return str(ipaddress.ip_network(address))
    except ValueError:
        return address
