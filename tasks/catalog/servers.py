"""The servers around Airflow: a row for each. Pure data.

Groups of an inventory, settings, memory, ports, reports, `deploy_verify` and `deploy_uninstall` go
by these rows; what a server does in particular is in the module of its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum


class Role(Enum):
    """What a server is for."""

    DATABASE = "database"
    BROKER = "broker"
    POOL = "pool"
    PROXY = "proxy"
    EXPORTER = "exporter"


@dataclass(frozen=True, kw_only=True, eq=False)
class Server:
    """What is special about a server."""

    group: str
    """The inventory's group of its hosts."""
    name: str
    """What people call it."""
    role: Role
    unit: str
    """The file of its systemd unit, which PostgreSQL and Redis have a template of."""
    ports: tuple[str, ...]
    """The settings of its ports."""
    listens: tuple[str, ...]
    """How the names of the units begin whose processes hold its port."""
    user: str
    """Whose its sockets are; empty for root, who has others too."""
    memory: int
    """MiB that it takes for one Airflow, beyond what a setting gives it."""
    packages: tuple[str, ...] = ()
    """Its apt packages, or patterns of them, the one with the program first; none for a plugin."""
    like: str = ""
    """The group of the server whose settings it shares; empty for settings of its own."""
    distributions: tuple[str, ...] = ()
    """The distributions that have its packages, if not all of them do."""
    masked: str = ""
    """The unit that comes with a package and is not used, since it is open to everybody."""
    revived: bool = False
    """Whether our drop-in restarts it after a crash, which Debian's unit does not do."""
    reported: bool = True
    """Whether its crashes are reported."""
    secrets: tuple[str, ...] = ()
    """The settings of its generated passwords."""
    schemes: Mapping[str, bool] = field(default_factory=dict)
    """Schemes of URLs that name an external one -> whether they mean TLS; none if it can't be."""
    path: str = ""
    """The setting that the path of such a URL stands for."""

    def to_be_had(self, distribution: str) -> bool:
        """Return whether a distribution has its packages."""
        return not self.distributions or distribution in self.distributions

    @property
    def settings(self) -> str:
        """Return the first word of its settings."""
        return self.like or self.group

    @property
    def stem(self) -> str:
        """Return the unit's name without its kind."""
        return self.unit.removesuffix(".service")

    @property
    def may_be_external(self) -> bool:
        """Whether a server that no host of the inventory runs can be used."""
        return bool(self.schemes)


POSTGRESQL = Server(
    group="postgresql",
    name="PostgreSQL",
    role=Role.DATABASE,
    packages=("postgresql",),
    unit="postgresql@.service",
    ports=("postgresql_port",),
    listens=("postgresql",),
    user="postgres",
    memory=60,
    revived=True,
    secrets=("postgresql_password", "postgresql_results_password"),
    schemes={"postgresql": False, "postgres": False},
    path="postgresql_database",
)
RABBITMQ = Server(
    group="rabbitmq",
    name="RabbitMQ",
    role=Role.BROKER,
    packages=("rabbitmq-server",),
    unit="rabbitmq-server.service",
    ports=("rabbitmq_port",),
    listens=("rabbitmq-server.",),
    user="rabbitmq",
    memory=100,
    secrets=("rabbitmq_password",),
    schemes={"amqp": False, "amqps": True},
    path="rabbitmq_vhost",
)
REDIS = Server(
    group="redis",
    name="Redis",
    role=Role.BROKER,
    packages=("redis-server",),
    unit="redis-server@airflow.service",
    ports=("redis_port",),
    listens=("redis-server@airflow.",),
    user="redis",
    memory=30,
    masked="redis-server.service",
    secrets=("redis_password",),
    schemes={"redis": False, "rediss": True},
    path="redis_database",
)
VALKEY = replace(
    REDIS,
    group="valkey",
    name="Valkey",
    like="redis",
    packages=("valkey-server",),
    distributions=("Debian 13", "Ubuntu 24.04", "Ubuntu 26.04"),
    unit="valkey-server@airflow.service",
    listens=("valkey-server@airflow.",),
    user="valkey",
    masked="valkey-server.service",
    schemes={},
    path="",
)
PGBOUNCER = Server(
    group="pgbouncer",
    name="PgBouncer",
    role=Role.POOL,
    packages=("pgbouncer",),
    unit="pgbouncer.service",
    ports=("pgbouncer_port",),
    listens=("pgbouncer.",),
    user="postgres",
    memory=10,
)
PROXY = Server(
    group="proxy",
    name="nginx",
    role=Role.PROXY,
    packages=("nginx", "curl"),
    unit="nginx.service",
    ports=("proxy_port", "proxy_http_port"),
    listens=("nginx.",),
    user="",
    memory=10,
    revived=True,
)
STATSD_EXPORTER = Server(
    group="statsd_exporter",
    name="metrics of Airflow",
    role=Role.EXPORTER,
    # What collectd's plugin for Prometheus needs is called otherwise from Debian 13 on.
    packages=("collectd-core", "libprotobuf-c1", "^libmicrohttpd12(t64)?$"),
    unit="airflow-statsd-exporter.service",
    ports=("monitoring_airflow_port",),
    listens=("airflow-",),
    user="airflow_monitor",
    memory=15,
    masked="collectd.service",
    reported=False,
)
POSTGRESQL_EXPORTER = Server(
    group="postgresql_exporter",
    name="metrics of PostgreSQL",
    role=Role.EXPORTER,
    packages=("prometheus-postgres-exporter",),
    unit="airflow-postgresql-exporter.service",
    ports=("monitoring_postgresql_port",),
    listens=("airflow-",),
    user="airflow_monitor",
    memory=20,
    masked="prometheus-postgres-exporter.service",
    reported=False,
)
RABBITMQ_EXPORTER = Server(
    group="rabbitmq_exporter",
    name="metrics of RabbitMQ",
    role=Role.EXPORTER,
    unit="rabbitmq-server.service",
    ports=("monitoring_rabbitmq_port",),
    listens=("rabbitmq-server.",),
    user="rabbitmq",
    memory=20,
    reported=False,
)

EVERY = (
    *(POSTGRESQL, RABBITMQ, REDIS, VALKEY, PGBOUNCER, PROXY),
    *(STATSD_EXPORTER, POSTGRESQL_EXPORTER, RABBITMQ_EXPORTER),
)
"""All of them, in the order in which people read about them."""


def of(*roles: Role) -> tuple[Server, ...]:
    """Return the servers that are for one of ``roles``."""
    return tuple(server for server in EVERY if server.role in roles)


BACKENDS = of(Role.DATABASE, Role.BROKER)
"""Those that Airflow itself can't do without."""
BROKERS = of(Role.BROKER)
EXPORTERS = of(Role.EXPORTER)
AIRFLOW_UNITS = ("airflow-",)
"""How the units of Airflow's components begin."""
UNITS = tuple(dict.fromkeys((*AIRFLOW_UNITS, *(name for each in EVERY for name in each.listens))))
"""How all units begin that may hold a port of ours."""
