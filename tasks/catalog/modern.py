"""What Airflow 2 and 3 have in common."""

from __future__ import annotations

from .model import Component
from .shared import SCHEDULER, metrics_keys

_COMPILER = ("gcc", "libc6-dev", "python3-dev")
_KERBEROS = (*_COMPILER, "libkrb5-dev", "krb5-user")
# Of the extras of Airflow 2 and 3 these alone want more than wheels, to be built or to run.
PACKAGES: dict[str, tuple[str, ...]] = {
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
EXTRAS = """
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


def extras(names: str) -> dict[str, tuple[str, ...]]:
    """Return the apt packages that each extra needs."""
    return {name: PACKAGES.get(name, ()) for name in names.split()}


COMPONENTS = (
    SCHEDULER,
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
WORKER = "airflow celery worker -c {concurrency} -q {queues}"
# `airflow celery flower` would want flower's own settings in airflow.cfg.
FLOWER = Component(
    "flower",
    ("flower",),
    "celery -A airflow.providers.celery.executors.celery_executor.app flower",
    "Celery monitor",
    probe=("flower",),
    memory=141,
    reads_dags=False,
)
KEYS = {
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
    **metrics_keys("metrics"),
}
REMOTE_LOGS = {
    "s3": ("amazon",),
    "cloudwatch": ("amazon",),
    "gs": ("google",),
    "stackdriver": ("google",),
    "wasb": ("microsoft-azure",),
    "hdfs": ("apache-hdfs",),
}
REDIS_URL = "redis://:{password}@{host}:{port}/{database}"
DEFAULTS = {
    # Names as the inventory has them, which every host of it can resolve.
    "core": {"hostname_callable": "airflow_hostname.get"},
}
SENSITIVE = frozenset(
    {
        ("smtp", "smtp_password"),
        ("celery", "flower_basic_auth"),
        ("sentry", "sentry_dsn"),
        ("secrets", "backend_kwargs"),
    }
)
