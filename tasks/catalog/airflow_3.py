"""Airflow 3.3."""

from __future__ import annotations

from packaging.specifiers import SpecifierSet

from .model import Component, Release
from .modern import (
    COMPONENTS,
    DEFAULTS,
    EXTRAS,
    FLOWER,
    KEYS,
    REDIS_URL,
    REMOTE_LOGS,
    SENSITIVE,
    WORKER,
    extras,
)

_ONLY_3_3 = """
    aiobotocore akeyless alibaba amazon-aws-auth apache-tinkerpop clickhousedb common-ai
    common-messaging edge3 git gunicorn informatica keycloak memray polars s3fs vespa
"""

AIRFLOW_3_3 = Release(
    version="3.3.2",
    redis_url=REDIS_URL,
    pythons=("3.13", "3.12", "3.11", "3.10", "3.14"),
    celery=SpecifierSet(">=5.5,<6"),
    extras=extras(EXTRAS + _ONLY_3_3),
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
        *COMPONENTS,
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
            WORKER,
            "Celery worker",
            probe=("worker",),
            memory=100,
            memory_each=105,
            command_beside_web=f"{WORKER} --skip-serve-logs",
            log_port="airflow_worker_log_port",
            graceful=True,
            required=True,
            # Airflow's security model: a worker speaks to the API, never to the database.
            withheld=frozenset({"database_url", "async_database_url", "fernet_key", "jwt_secret"}),
        ),
        FLOWER,
    ),
    keys={
        **KEYS,
        "base_url": ("api", "base_url"),
        "web_host": ("api", "host"),
        "web_port": ("api", "port"),
        "web_workers": ("api", "workers"),
        "secret_key": ("api", "secret_key"),
        "jwt_secret": ("api_auth", "jwt_secret"),
        "execution_url": ("core", "execution_api_server_url"),
        "parser_logs": ("logging", "dag_processor_child_process_log_directory"),
    },
    remote_logs={**REMOTE_LOGS, "oss": ("alibaba",)},
    defaults={
        **DEFAULTS,
        "core": {
            **DEFAULTS["core"],
            # The default manager writes its passwords to a log.
            "auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        },
        "dag_processor": {"refresh_interval": "30"},
        # A task that ends while the API server starts anew, which may take minutes on a small host,
        # would else be lost after half a minute, though it has succeeded.
        "workers": {"execution_api_retries": "15", "execution_api_retry_wait_max": "30"},
    },
    sensitive=SENSITIVE,
    results_apart=True,
    migrations={
        "alembic_version": "airflow/migrations",
        "alembic_version_fab": "airflow/providers/fab/migrations",
    },
    # The second one is built at its first request, which takes longer than a worker waits.
    health_paths=("/api/v2/monitor/health", "/execution/health"),
)
