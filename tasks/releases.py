"""The release table: what each Airflow line needs. Pure data and pure look-ups.

Nothing outside this module asks for a version number: it asks the release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from .catalog import servers


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

_PY27 = Interpreter("2.7", ("python2.7", "python2.7-dev"))

# Debian 12 and later have no Python 2.7; Ubuntu's last is 22.04 (universe).
_VIRTUALENV = (
    "virtualenv==20.21.1",  # the last that makes a Python 2.7 environment
    "distlib==0.3.9",
    "filelock==3.12.4",
    "platformdirs==3.11.0",
)

DISTRIBUTIONS: Mapping[str, tuple[Interpreter, ...]] = {
    "Debian 11": (Interpreter("3.9", ("python3",)), _PY27),
    "Debian 12": (Interpreter("3.11", ("python3",)),),
    "Debian 13": (Interpreter("3.13", ("python3",)),),
    "Ubuntu 22.04": (Interpreter("3.10", ("python3",)), _PY27),
    "Ubuntu 24.04": (Interpreter("3.12", ("python3",)),),
    "Ubuntu 26.04": (Interpreter("3.14", ("python3",)),),
}

POSTGRESQL: Mapping[str, int] = {
    "Debian 11": 13,
    "Debian 12": 15,
    "Debian 13": 17,
    "Ubuntu 22.04": 14,
    "Ubuntu 24.04": 16,
    "Ubuntu 26.04": 18,
}
"""Distribution -> the major version of its PostgreSQL, whose pg_dump backs up no newer server."""

APT: Mapping[str, tuple[str, ...]] = {
    "system": ("ca-certificates", "iproute2", "procps", "python3", "util-linux"),
    "firewall": ("nftables",),
    "client": ("postgresql-client",),
    "repository": ("git", "openssh-client"),
}
"""What installs them -> apt packages that are the same for every release; servers have theirs."""

_WEBSERVER = Component(
    "webserver",
    ("webserver", "api_server"),
    "airflow webserver",
    "web server",
    probe=("web",),
    memory=170,
    memory_each=135,
)
_SCHEDULER = Component(
    "scheduler",
    ("scheduler",),
    "airflow scheduler",
    "scheduler",
    probe=("heartbeat", "SchedulerJob"),
    memory=240,
    required=True,
)
_OLD_WORKER = Component(
    "worker",
    ("worker",),
    "airflow worker -c {concurrency} -q {queues}",
    "Celery worker",
    probe=("worker",),
    memory=110,
    memory_each=126,
    # What `airflow worker` does, without its log server, which asks nobody for a login.
    command_beside_web=(
        "celery worker -A airflow.executors.celery_executor:app -O fair -l info"
        " -c {concurrency} -Q {queues}"
    ),
    log_port="airflow_worker_log_port",
    graceful=True,
    required=True,
)
# `airflow flower` would show the broker's password in ps.
_OLD_FLOWER = Component(
    "flower",
    ("flower",),
    "celery flower -A airflow.executors.celery_executor:app",
    "Celery monitor",
    probe=("flower",),
    memory=65,
    reads_dags=False,
)


def _metrics_keys(section: str) -> dict[str, tuple[str, str]]:
    return {name: (section, name) for name in ("statsd_on", "statsd_host", "statsd_port")}


_PROXY_FIX = {"webserver": {"enable_proxy_fix": "True"}}

_AIRFLOW_1_8 = Release(
    version="1.8.2",
    pythons=("2.7",),
    celery=SpecifierSet(">=3.1.17,<4.0"),
    installer="pip",
    bootstrap=_VIRTUALENV,
    seeds={"pip": "20.3.4", "setuptools": "44.1.1", "wheel": "0.37.1"},
    build_aids={"apache-airflow": "build/pip9"},
    build_packages=("gcc", "g++", "libc6-dev", "make", "libpq-dev"),
    extras={
        "async": (),
        "celery": (),
        "crypto": ("libssl-dev", "libffi-dev"),
        "devel": ("default-libmysqlclient-dev", "libxml2-dev", "libxslt1-dev"),
        "druid": (),
        "gcp_api": (),
        "hdfs": (),
        "hive": ("libsasl2-dev",),
        "jdbc": ("default-jre-headless",),
        "kerberos": ("libkrb5-dev", "libsasl2-dev", "krb5-user"),
        "ldap": (),
        "password": (),
        "postgres": ("libpq-dev",),
        "qds": (),
        "rabbitmq": (),
        "s3": (),
        "samba": ("smbclient",),
        "slack": (),
        "statsd": (),
    },
    needed_extras=("celery", "crypto", "password", "postgres"),
    components=(
        replace(_WEBSERVER, command="python {lib}/webserver_1_8.py", memory=75, memory_each=61),
        replace(_SCHEDULER, memory=65),
        _OLD_WORKER,
        _OLD_FLOWER,
    ),
    keys={
        "home": ("core", "airflow_home"),
        "dags": ("core", "dags_folder"),
        "plugins": ("core", "plugins_folder"),
        "logs": ("core", "base_log_folder"),
        "executor": ("core", "executor"),
        "load_examples": ("core", "load_examples"),
        "database_url": ("core", "sql_alchemy_conn"),
        "fernet_key": ("core", "fernet_key"),
        "base_url": ("webserver", "base_url"),
        "web_host": ("webserver", "web_server_host"),
        "web_port": ("webserver", "web_server_port"),
        "web_workers": ("webserver", "workers"),
        "secret_key": ("webserver", "secret_key"),
        "broker_url": ("celery", "broker_url"),
        "result_backend": ("celery", "celery_result_backend"),
        "worker_concurrency": ("celery", "celeryd_concurrency"),
        "worker_log_port": ("celery", "worker_log_server_port"),
        "default_queue": ("celery", "default_queue"),
        "parser_logs": ("scheduler", "child_process_log_directory"),
        "remote_log_folder": ("core", "remote_base_log_folder"),
        "remote_log_connection": ("core", "remote_log_conn_id"),
        **_metrics_keys("scheduler"),
    },
    remote_logs={"s3": ("s3",), "gs": ("gcp_api",)},
    defaults={
        # Without a backend of its own the experimental API answers anybody.
        "api": {"auth_backend": "airflow_api_deny"},
        "webserver": {
            "authenticate": "True",
            "auth_backend": "airflow.contrib.auth.backends.password_auth",
        },
        "scheduler": {"dag_dir_list_interval": "60"},
    },
    sensitive=frozenset({("smtp", "smtp_password"), ("ldap", "bind_password")}),
    escapes_percent=False,
    plain_passwords=True,
    broker_tls=False,
    # pyamqp:// and not amqp://: with librabbitmq installed kombu 3 would take that library.
    broker_url="pyamqp://{user}:{password}@{host}:{port}/{vhost}",
    create_schema="airflow initdb",
    upgrade_schema="airflow upgradedb",
    trigger="trigger_dag",
    clean="",
    rotate_key="",
    log_reader="page_1_8",
    login_script="login_1_8.py",
    lacks=frozenset(
        {
            "connections.description",
            "letters beyond ASCII",
            "pools.include_deferred",
            "quoted URIs",
            "roles",
            "users.first_name",
            "users.last_name",
            "users.roles",
            "webserver_config.py",
        }
    ),
    helpers=("webserver_1_8.py",),
)

_AIRFLOW_1_10 = Release(
    version="1.10.15",
    # On 2.7 it wants Celery 4.3.1 and an older UI.
    pythons=("3.9",),
    celery=SpecifierSet(">=4.4.7,<5.0"),
    installer="pip",
    bootstrap=_VIRTUALENV,
    seeds={"pip": "23.1", "setuptools": "67.6.1", "wheel": "0.40.0"},
    build_aids={"jpype1": "build/jpype1"},
    build_packages=("gcc", "g++", "libc6-dev", "python3-dev"),
    extras={
        "async": (),
        "aws": (),
        "celery": (),
        "crypto": (),
        "druid": (),
        "gcp": (),
        "gcp_api": (),
        "hdfs": (),
        "hive": ("libsasl2-dev",),
        "jdbc": ("default-jre-headless",),
        "kerberos": ("libkrb5-dev", "libsasl2-dev", "krb5-user"),
        "ldap": (),
        "password": (),
        "postgres": (),
        "qds": (),
        "rabbitmq": (),
        "s3": (),
        "samba": ("smbclient",),
        "slack": (),
        "statsd": (),
    },
    needed_extras=("celery", "postgres"),
    components=(
        _WEBSERVER,
        _SCHEDULER,
        replace(
            _OLD_WORKER,
            command_beside_web="airflow worker --skip_serve_logs -c {concurrency} -q {queues}",
        ),
        _OLD_FLOWER,
    ),
    keys={
        **{name: key for name, key in _AIRFLOW_1_8.keys.items() if name != "home"},
        "result_backend": ("celery", "result_backend"),
        "worker_concurrency": ("celery", "worker_concurrency"),
        "parser_manager_log": ("core", "dag_processor_manager_log_location"),
        "remote_logging": ("core", "remote_logging"),
    },
    remote_logs={"s3": ("s3", "aws"), "gs": ("gcp", "gcp_api")},
    defaults={
        "core": {"hostname_callable": "airflow_hostname:get"},
        "api": {"auth_backend": "airflow.api.auth.backend.deny_all"},
        # The UI with roles and logins; the other one shows everything to everybody.
        "webserver": {"rbac": "True", "cookie_samesite": "Lax"},
        "scheduler": {"dag_dir_list_interval": "60"},
    },
    behind_proxy=_PROXY_FIX,
    sensitive=frozenset(
        {
            ("celery", "flower_basic_auth"),
            ("atlas", "password"),
            ("smtp", "smtp_password"),
            ("ldap", "bind_password"),
            ("kubernetes", "git_password"),
        }
    ),
    broker_url="pyamqp://{user}:{password}@{host}:{port}/{vhost}",
    broker_tls=False,
    create_schema="airflow initdb",
    upgrade_schema="python {lib}/upgrade_1_10.py",
    trigger="trigger_dag",
    clean="",
    rotate_key="rotate_fernet_key",
    log_reader="page_1_10",
    login_script="login_1_10.py",
    lacks=frozenset(
        {"connections.description", "pools.include_deferred", "webserver_config.py's database"}
    ),
    helpers=("upgrade_1_10.py",),
)

_COMPILER = ("gcc", "libc6-dev", "python3-dev")
_KERBEROS = (*_COMPILER, "libkrb5-dev", "krb5-user")
# Of the extras of Airflow 2 and 3 these alone want more than wheels, to be built or to run.
_MODERN_PACKAGES: dict[str, tuple[str, ...]] = {
    "apache-hdfs": _KERBEROS,
    "apache-webhdfs": _KERBEROS,
    "git": ("git",),
    "graphviz": ("graphviz",),
    "jdbc": ("default-jre-headless",),
    "kerberos": _KERBEROS,
    "ldap": (*_COMPILER, "libldap-dev", "libsasl2-dev"),
    "leveldb": (*_COMPILER, "g++", "libleveldb-dev"),
    "mysql": (*_COMPILER, "default-libmysqlclient-dev", "pkg-config"),
    "odbc": ("unixodbc",),
}
_MODERN_EXTRAS = """
    airbyte amazon apache-atlas apache-cassandra apache-drill apache-druid apache-flink
    apache-hdfs apache-hive apache-iceberg apache-impala apache-kafka apache-kylin apache-livy
    apache-pig apache-pinot apache-spark apache-webhdfs apprise arangodb asana async
    atlassian-jira celery cloudant cloudpickle cncf-kubernetes cohere common-compat common-io
    common-sql databricks datadog dbt-cloud dingding discord docker elasticsearch exasol fab
    facebook ftp github github-enterprise google google-auth graphviz grpc hashicorp http imap
    influxdb jdbc jenkins kerberos ldap microsoft-azure microsoft-mssql microsoft-psrp
    microsoft-winrm mongo mysql neo4j odbc openai openfaas openlineage opensearch opsgenie oracle
    otel pagerduty pandas papermill pgvector pinecone postgres presto qdrant rabbitmq redis
    salesforce samba segment sendgrid sentry sftp singularity slack smtp snowflake sqlite ssh
    standard statsd tableau telegram teradata trino uv vertica weaviate yandex ydb zendesk
"""
_ONLY_2_11 = " cgroups crypto deprecated-api leveldb password pydantic tabular virtualenv"
_ONLY_3_3 = """
    aiobotocore akeyless alibaba amazon-aws-auth apache-tinkerpop clickhousedb common-ai
    common-messaging edge3 git gunicorn informatica keycloak memray polars s3fs vespa
"""


def _extras(names: str) -> dict[str, tuple[str, ...]]:
    return {name: _MODERN_PACKAGES.get(name, ()) for name in names.split()}


_MODERN_COMPONENTS = (
    _SCHEDULER,
    Component(
        "triggerer",
        ("triggerer",),
        "airflow triggerer",
        "triggerer",
        probe=("heartbeat", "TriggererJob"),
        memory=195,
        command_beside_web="airflow triggerer --skip-serve-logs",
        log_port="airflow_triggerer_log_port",
    ),
)
_MODERN_WORKER = "airflow celery worker -c {concurrency} -q {queues}"
# `airflow celery flower` would want flower's own settings in airflow.cfg.
_MODERN_FLOWER = Component(
    "flower",
    ("flower",),
    "celery -A airflow.providers.celery.executors.celery_executor.app flower",
    "Celery monitor",
    probe=("flower",),
    memory=141,
    reads_dags=False,
)
_MODERN_KEYS = {
    "dags": ("core", "dags_folder"),
    "plugins": ("core", "plugins_folder"),
    "executor": ("core", "executor"),
    "load_examples": ("core", "load_examples"),
    "fernet_key": ("core", "fernet_key"),
    "database_url": ("database", "sql_alchemy_conn"),
    "async_database_url": ("database", "sql_alchemy_conn_async"),
    "async_database_arguments": ("database", "sql_alchemy_connect_args_async"),
    "logs": ("logging", "base_log_folder"),
    "worker_log_port": ("logging", "worker_log_server_port"),
    "triggerer_log_port": ("logging", "trigger_log_server_port"),
    "broker_url": ("celery", "broker_url"),
    "result_backend": ("celery", "result_backend"),
    "celery_options": ("celery", "extra_celery_config"),
    "visibility_timeout": ("celery_broker_transport_options", "visibility_timeout"),
    "worker_concurrency": ("celery", "worker_concurrency"),
    "default_queue": ("operators", "default_queue"),
    "remote_logging": ("logging", "remote_logging"),
    "remote_log_folder": ("logging", "remote_base_log_folder"),
    "remote_log_connection": ("logging", "remote_log_conn_id"),
    **_metrics_keys("metrics"),
}
_MODERN_REMOTE_LOGS = {
    "s3": ("amazon",),
    "cloudwatch": ("amazon",),
    "gs": ("google",),
    "stackdriver": ("google",),
    "wasb": ("microsoft-azure",),
    "hdfs": ("apache-hdfs",),
}
_REDIS_URL = "redis://:{password}@{host}:{port}/{database}"
_MODERN_DEFAULTS = {
    # Names as the inventory has them, which every host of it can resolve.
    "core": {"hostname_callable": "airflow_hostname.get"},
}
_MODERN_SENSITIVE = frozenset(
    {
        ("smtp", "smtp_password"),
        ("celery", "flower_basic_auth"),
        ("sentry", "sentry_dsn"),
        ("secrets", "backend_kwargs"),
    }
)

_AIRFLOW_2_11 = Release(
    version="2.11.2",
    log_reader="api_v1",
    redis_url=_REDIS_URL,
    pythons=("3.12", "3.11", "3.10"),
    celery=SpecifierSet(">=5.5,<6"),
    extras={
        **_extras(_MODERN_EXTRAS + _ONLY_2_11),
        "apache-spark": ("default-jre-headless",),  # Airflow 3 takes Spark's pure client
    },
    components=(
        _WEBSERVER,
        *_MODERN_COMPONENTS,
        Component(
            "worker",
            ("worker",),
            _MODERN_WORKER,
            "Celery worker",
            probe=("worker",),
            memory=100,
            memory_each=105,
            command_beside_web=f"{_MODERN_WORKER} --skip-serve-logs",
            log_port="airflow_worker_log_port",
            graceful=True,
            required=True,
        ),
        _MODERN_FLOWER,
    ),
    keys={
        **_MODERN_KEYS,
        "base_url": ("webserver", "base_url"),
        "web_host": ("webserver", "web_server_host"),
        "web_port": ("webserver", "web_server_port"),
        "web_workers": ("webserver", "workers"),
        "secret_key": ("webserver", "secret_key"),
        "parser_logs": ("scheduler", "child_process_log_directory"),
        "parser_manager_log": ("logging", "dag_processor_manager_log_location"),
    },
    remote_logs=_MODERN_REMOTE_LOGS,
    defaults={
        **_MODERN_DEFAULTS,
        "api": {
            "auth_backends": "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth,"
            "airflow.api.auth.backend.session"
        },
        "scheduler": {"dag_dir_list_interval": "60"},
    },
    behind_proxy=_PROXY_FIX,
    sensitive=_MODERN_SENSITIVE,
)

_AIRFLOW_3_3 = Release(
    version="3.3.2",
    redis_url=_REDIS_URL,
    pythons=("3.13", "3.12", "3.11", "3.10", "3.14"),
    celery=SpecifierSet(">=5.5,<6"),
    extras=_extras(_MODERN_EXTRAS + _ONLY_3_3),
    components=(
        Component(
            "api-server",
            ("api_server", "webserver"),
            "airflow api-server --proxy-headers",
            "API server",
            probe=("web",),
            memory=65,
            memory_each=300,
            required=True,
            reads_dags=False,
        ),
        *_MODERN_COMPONENTS,
        Component(
            "dag-processor",
            ("dag_processor",),
            "airflow dag-processor",
            "DAG processor",
            probe=("heartbeat", "DagProcessorJob"),
            memory=180,
            required=True,
        ),
        Component(
            "worker",
            ("worker",),
            _MODERN_WORKER,
            "Celery worker",
            probe=("worker",),
            memory=100,
            memory_each=105,
            command_beside_web=f"{_MODERN_WORKER} --skip-serve-logs",
            log_port="airflow_worker_log_port",
            graceful=True,
            required=True,
            # Airflow's security model: a worker speaks to the API, never to the database.
            withheld=frozenset({"database_url", "async_database_url", "fernet_key", "jwt_secret"}),
        ),
        _MODERN_FLOWER,
    ),
    keys={
        **_MODERN_KEYS,
        "base_url": ("api", "base_url"),
        "web_host": ("api", "host"),
        "web_port": ("api", "port"),
        "web_workers": ("api", "workers"),
        "secret_key": ("api", "secret_key"),
        "jwt_secret": ("api_auth", "jwt_secret"),
        "execution_url": ("core", "execution_api_server_url"),
        "parser_logs": ("logging", "dag_processor_child_process_log_directory"),
    },
    remote_logs={**_MODERN_REMOTE_LOGS, "oss": ("alibaba",)},
    defaults={
        **_MODERN_DEFAULTS,
        "core": {
            **_MODERN_DEFAULTS["core"],
            # The default manager writes its passwords to a log.
            "auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        },
        "dag_processor": {"refresh_interval": "30"},
        # A task that ends while the API server starts anew, which may take minutes on a small host,
        # would else be lost after half a minute, though it has succeeded.
        "workers": {"execution_api_retries": "15", "execution_api_retry_wait_max": "30"},
    },
    sensitive=_MODERN_SENSITIVE,
    results_apart=True,
    migrations={
        "alembic_version": "airflow/migrations",
        "alembic_version_fab": "airflow/providers/fab/migrations",
    },
    # The second one is built at its first request, which takes longer than a worker waits.
    health_paths=("/api/v2/monitor/health", "/execution/health"),
)

HEALTH = Component(
    "health",
    (),
    "python {lib}/airflow_health.py {health}",
    "health summary",
    probe=("health",),
    memory=45,
    withheld=frozenset(SECRET_MEANINGS),
)
"""What answers load balancers, beside the components of every release."""

RELEASES: tuple[Release, ...] = (_AIRFLOW_3_3, _AIRFLOW_2_11, _AIRFLOW_1_10, _AIRFLOW_1_8)
DEFAULT = _AIRFLOW_3_3.version
GROUPS: tuple[str, ...] = (
    *(server.group for server in servers.EVERY if server.role is not servers.Role.EXPORTER),
    *dict.fromkeys(c.groups[0] for release in RELEASES for c in release.components),
    *(server.group for server in servers.EXPORTERS),
)
"""Every group of an inventory that means something here."""


def find(version: str) -> Release:
    """Look a release up, or its line with another patch number.

    UnknownReleaseError names the releases that the table has.
    """
    for release in RELEASES:
        if release.version == version:
            return release
    for release in RELEASES:
        if release.version.rpartition(".")[0] == version.rpartition(".")[0]:
            return replace(release, version=version)
    known = [release.version for release in RELEASES]
    raise UnknownReleaseError(
        f"this package supports the releases {', '.join(known)} and their lines: the "
        f"nearest is {_nearest(version, known)}"
    )


def no_way(before: str, after: str) -> str | None:
    """Return why the database of release ``before`` can't become one of ``after``, if it can't.

    A line of releases leads to the next one in the table, whose migrations know it.
    """
    if Version(before) > Version(after):
        return f"Airflow {before} is newer than {after}, and a database can't be downgraded"
    first, last = _line(before), _line(after)
    between = [each for each in reversed(RELEASES) if first < _line(each.version) < last]
    if between:
        steps = " and then ".join(release.version for release in between)
        return f"Airflow {before} can't be upgraded to {after} directly: upgrade to {steps} first"
    return None


def _line(version: str) -> tuple[int, ...]:
    return Version(version).release[:2]


def _nearest(version: str, known: list[str]) -> str:
    """Return the next newer one, to which it would be upgraded."""
    try:
        newer = [other for other in known if Version(other) > Version(version)]
    except InvalidVersion:
        newer = []
    return newer[-1] if newer else known[0]


def is_shipped(version: str) -> bool:
    """Return whether there is a lock for exactly this release."""
    return version in [release.version for release in RELEASES]


def interpreter(release: Release, distribution: str) -> Interpreter:
    """Choose the Python for ``release`` on ``distribution``, such as ``Debian 11``.

    NoInterpreterError says which distributions have one.
    """
    offered = {python.version: python for python in DISTRIBUTIONS.get(distribution, ())}
    for version in release.pythons:
        if version in offered:
            return offered[version]
    raise NoInterpreterError(
        f"Airflow {release.version} runs on Python {' or '.join(release.pythons)}, which "
        f"{distribution} does not have; take one of: {', '.join(fitting(release))}"
    )


def fitting(release: Release) -> list[str]:
    """List the distributions that have a Python for ``release``."""
    return [
        name
        for name, pythons in DISTRIBUTIONS.items()
        if any(python.version in release.pythons for python in pythons)
    ]


def os_packages(release: Release, extras: Iterable[str]) -> list[str]:
    """List the apt packages that the release and its ``extras`` are built and run with."""
    wanted = set(release.build_packages)
    for extra in extras:
        wanted.update(release.extras[extra])
    return sorted(wanted)


def python_packages(release: Release, extras: Iterable[str], python: Interpreter) -> list[str]:
    """List the apt packages that bring ``python``, and those of ``os_packages``."""
    return [*python.packages, "python3-venv", *os_packages(release, extras)]


def apt_packages(release: Release, extras: Iterable[str], distribution: str) -> list[str]:
    """List every apt package that a host of ``distribution`` may be asked to have."""
    every = (*APT.values(), *(server.packages for server in servers.EVERY))
    wanted = {name for names in every for name in names}
    if distribution in fitting(release):
        wanted.update(python_packages(release, extras, interpreter(release, distribution)))
    return sorted(wanted)


def unknown_extra(release: Release, extras: Iterable[str]) -> str | None:
    """Return a sentence about those of ``extras`` that the release does not have, if any."""
    for extra in extras:
        if extra not in release.extras:
            near = get_close_matches(extra, release.extras, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(release.extras)}"
            name = f"extra {extra}" if near else "such extra"
            return f"Airflow {release.version} has no {name}: {hint}"
    return None
