"""What a host has to know of the inventory."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Topology(BaseModel):
    """What a host has to know of the inventory."""

    model_config = ConfigDict(frozen=True)

    name: str = "localhost"
    """The name by which the inventory's hosts know this one."""
    address: str = "localhost"
    """Where they reach it."""
    components: frozenset[str] = frozenset()
    """What this host runs."""
    servers: frozenset[str] = frozenset()
    """Database and brokers that hosts of the inventory run."""
    hosts: tuple[str, ...] = ()
    """Addresses of the other hosts that run Airflow."""
    database_hosts: tuple[str, ...] = ()
    """Those of them that may use the metadata database."""
    direct_hosts: tuple[str, ...] = ()
    """Those of them that PostgreSQL itself lets in."""
    pooled: bool = False
    """Whether PgBouncer is in front of PostgreSQL."""
    web_hosts: tuple[str, ...] = ()
    """Addresses of the hosts that serve the web UI, this one included."""
    web_clients: tuple[str, ...] = ()
    """Addresses of the other hosts that call it if there is a proxy in front of it."""
    proxies: tuple[str, ...] = ()
    """Addresses of the hosts that run a proxy, this one included."""
    proxy_names: tuple[str, ...] = ()
    """Names and addresses by which people know the proxies."""
    proxy_url: str = ""
    """URL of the first proxy; empty without any."""
    web_here: bool = True
    """Whether every web UI is on this host."""
    database_here: bool = True
    """Whether this host makes the schema and the login, once for all."""
    workers: tuple[str, ...] = ()
    """Names of the hosts with a Celery worker."""
    queues: tuple[str, ...] = ()
    """Every queue that one of them takes tasks from."""
    statsd: str | None = None
    """Where Airflow on this host sends its metrics, if anywhere."""
    names: tuple[str, ...] = ()
    """Lines of /etc/hosts for the hosts whose name in the inventory is not an address."""
    database: str = ""
    """Address of the host that runs the database; empty for an external one."""
    known: tuple[str, ...] = ()
    """Every name and address by which the inventory knows its hosts."""
