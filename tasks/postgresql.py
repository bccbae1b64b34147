"""PostgreSQL: the server, who may come in, and Airflow's role and database."""

from __future__ import annotations

from pyinfra import host
from pyinfra.operations import apt

from .deploys import deploy
from .operations import cluster_configuration, cluster_running, database, role
from .resources import template
from .settings import Settings
from .system import LOCK_WAIT


@deploy("PostgreSQL")
def deploy_postgresql(settings: Settings | None = None) -> None:
    """Install PostgreSQL with a role and a database for Airflow; works alone."""
    settings = Settings.of(host, settings)
    apt.packages(
        name="Install the server",
        packages=["postgresql"],
        update=True,
        cache_time=86400,
        no_recommends=True,
        extra_install_args=LOCK_WAIT,
    )
    configured = cluster_configuration(
        name="Configure who may connect",
        settings_text=template("postgresql.conf", settings=settings, listen=listen(settings)),
        hba_lines=hba_lines(settings),
    )
    cluster_running(name="Run the server", changed=[configured])
    role(
        name=f"Create the role {settings.postgresql_user}",
        role=settings.postgresql_user,
        password=settings.secret("postgresql_password"),
        superuser=settings.postgresql_superuser,
    )
    database(
        name=f"Create the database {settings.postgresql_database}",
        database=settings.postgresql_database,
        owner=settings.postgresql_user,
    )


def listen(settings: Settings) -> str:
    """Give ``listen_addresses``: loopback, and the host's address where others need it."""
    if settings.postgresql_listen_addresses is not None:
        return settings.postgresql_listen_addresses
    others = settings.airflow_hosts or settings.postgresql_allow
    return f"localhost,{settings.airflow_address}" if others else "localhost"


def hba_lines(settings: Settings) -> list[str]:
    """Give one line of pg_hba.conf for each network that Airflow comes from."""
    return [
        f"host {settings.postgresql_database} {settings.postgresql_user} {network} "
        f"{settings.postgresql_auth}"
        for network in settings.database_networks
    ]
