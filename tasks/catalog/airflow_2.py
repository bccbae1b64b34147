"""Airflow 2.11."""

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
from .shared import PROXY_FIX, WEBSERVER

_ONLY_2_11 = " cgroups crypto deprecated-api leveldb password pydantic tabular virtualenv"

AIRFLOW_2_11 = Release(
    version="2.11.2",
    log_reader="api_v1",
    redis_url=REDIS_URL,
    pythons=("3.12", "3.11", "3.10"),
    celery=SpecifierSet(">=5.5,<6"),
    extras={
        **extras(EXTRAS + _ONLY_2_11),
        "apache-spark": ("default-jre-headless",),  # Airflow 3 takes Spark's pure client
    },
    components=(
        WEBSERVER,
        *COMPONENTS,
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
        ),
        FLOWER,
    ),
    keys={
        **KEYS,
        "base_url": ("webserver", "base_url"),
        "web_host": ("webserver", "web_server_host"),
        "web_port": ("webserver", "web_server_port"),
        "web_workers": ("webserver", "workers"),
        "secret_key": ("webserver", "secret_key"),
        "parser_logs": ("scheduler", "child_process_log_directory"),
        "parser_manager_log": ("logging", "dag_processor_manager_log_location"),
    },
    remote_logs=REMOTE_LOGS,
    defaults={
        **DEFAULTS,
        "api": {
            "auth_backends": "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth,"
            "airflow.api.auth.backend.session"
        },
        "scheduler": {"dag_dir_list_interval": "60"},
    },
    behind_proxy=PROXY_FIX,
    sensitive=SENSITIVE,
)
