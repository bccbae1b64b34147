"""The types of the release table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from packaging.specifiers import SpecifierSet


class UnknownReleaseError(ValueError):
    """The table has no such Airflow release."""


class NoInterpreterError(ValueError):
    """The distribution has no Python that the release can use."""


@dataclass(frozen=True)
class Component:
    """One long-running process of Airflow: a group of the inventory and a systemd unit."""

    name: str
    """What the unit is called, behind ``airflow-``."""
    groups: tuple[str, ...]
    """The inventory's groups that mean it: its own name, and that of its forerunner."""
    command: str
    """What the unit starts, from the environment's ``bin``; settings and folders in braces."""
    description: str
    probe: tuple[str, ...]
    """The check of ``airflow_probe.py`` that tells whether it works."""
    memory: int
    """MiB that it takes when idle, as proportional set size, on a host that runs everything."""
    memory_each: int = 0
    """MiB for each task at a time, or each process that answers the web UI's requests."""
    command_beside_web: str | None = None
    """The same where the only web UI is on this host and reads the logs from its disk."""
    graceful: bool = False
    """Stopped with the patience of ``airflow_worker_stop_timeout``, for its running tasks."""
    log_port: str | None = None
    """The setting of the port at which it serves logs to the web UI."""
    required: bool = False
    """Whether an Airflow without it does nothing."""
    reads_dags: bool = True
    """Whether it needs the DAG files."""
    withheld: frozenset[str] = frozenset()
    """Meanings of secrets that a host with this alone is not given."""


@dataclass(frozen=True)
class Interpreter:
    """A Python and the apt packages that bring it."""

    version: str
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Release:
    """What one release of Airflow needs; the defaults are those of the present lines."""

    version: str
    package: str = "apache-airflow"
    pythons: tuple[str, ...]
    """Those it runs on, best first."""
    celery: SpecifierSet
    """The Celery versions it can use."""
    installer: Literal["pip", "uv"] = "uv"
    """What fills the environment."""
    bootstrap: tuple[str, ...] = ("uv==0.13.9",)
    """What makes the environment: pins for an environment of the host's own Python 3."""
    seeds: Mapping[str, str] = field(default_factory=dict)
    """The installers inside the environment: the newest that its Python can use."""
    build_aids: Mapping[str, str] = field(default_factory=dict)
    """Package -> folder of ``files/`` put on PYTHONPATH while that package is built."""
    build_packages: tuple[str, ...] = ()
    """apt packages that the lock's packages without extras are built with."""
    extras: Mapping[str, tuple[str, ...]]
    """Extra -> apt packages that it is built with or runs with."""
    needed_extras: tuple[str, ...] = ("celery", "fab", "postgres", "standard")
    """Those that this package's stack can't do without."""
    components: tuple[Component, ...]
    """What runs, the web UI first."""
    keys: Mapping[str, tuple[str, str]]
    """What a setting means -> (section, key) of airflow.cfg in this line."""
    defaults: Mapping[str, Mapping[str, str]]
    """Values of airflow.cfg that make this line safe, beyond the settings."""
    behind_proxy: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further ones where a proxy stands before the web UI."""
    sensitive: frozenset[tuple[str, str]]
    """Further keys of airflow.cfg that hold secrets: they go to the environment file."""
    escapes_percent: bool = True
    """Whether ``%`` is doubled in airflow.cfg."""
    plain_passwords: bool = False
    """Whether a password may only hold letters, digits, ``_`` and ``-``."""
    broker_url: str = "amqp://{user}:{password}@{host}:{port}/{vhost}"
    database_url: str = "postgresql+psycopg2://{user}:{password}@{host}:{port}/{database}"
    redis_url: str = ""
    """The same for Redis; empty where the release can't use it."""
    broker_tls: bool = True
    """Whether it can be told whose certificate to believe at the broker."""
    # amqp:// as result backend crashed the scheduler of 1.8; a row in the database does not.
    result_backend: str = "db+postgresql://{user}:{password}@{host}:{port}/{database}"
    results_apart: bool = False
    """Whether results have a database of their own, since workers don't get the other's URL."""
    migrations: Mapping[str, str] = field(
        default_factory=lambda: {"alembic_version": "airflow/migrations"}
    )
    """Table that holds the schema's version -> folder of the migrations, in the environment."""
    create_schema: str = "airflow db migrate"
    """The command that makes the schema; the next one brings an older one to this release."""
    upgrade_schema: str = "airflow db migrate"
    trigger: str = "dags trigger"
    """The words of Airflow's command that triggers a DAG."""
    clean: str = "db clean"
    """The words of Airflow's command that removes old runs; empty where it has none."""
    rotate_key: str = "rotate-fernet-key"
    """The words of the one that encrypts anew; empty where it knows a single Fernet key."""
    remote_logs: Mapping[str, tuple[str, ...]]
    """Scheme of a URL that tasks' logs can go to -> extras of which one brings what it needs."""
    log_reader: str = "api_v2"
    """The way of ``airflow_canary.py`` to read a task's log from the web UI."""
    login_script: str = "login_fab.py"
    """The file of ``files/host/by_release`` that makes an administrator's login."""
    helpers: tuple[str, ...] = ()
    """Further files of ``files/host/by_release`` that its components need."""
    lacks: frozenset[str] = frozenset()
    """What of the objects in code it does not know: kinds, keys as ``kind.key``, forms, files."""
    health_paths: tuple[str, ...] = ("/health",)
    """Paths of the web UI that answer 200 once it works."""

    def lock(self, python: str) -> str:
        """Return the path of the shipped lock for ``python`` under ``files/``."""
        return f"constraints/airflow-{self.version}-py{python}.txt"

    def component(self, name: str) -> Component:
        """Look a component up by its name."""
        return next(component for component in self.components if component.name == name)

    @property
    def web(self) -> Component:
        """The component that serves the web UI."""
        return self.components[0]

    @property
    def parser(self) -> Component:
        """The component that reads the DAG files for all others."""
        by_name = {component.name: component for component in self.components}
        return by_name.get("dag-processor") or by_name["scheduler"]


SECRET_MEANINGS = (
    "database_url",
    "async_database_url",
    "broker_url",
    "result_backend",
    "fernet_key",
    "secret_key",
    "jwt_secret",
)
"""Meanings of settings that are secrets on every line."""
