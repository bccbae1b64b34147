"""Airflow 1.8 and 1.10."""

from __future__ import annotations

from dataclasses import replace

from packaging.specifiers import SpecifierSet

from .model import Component, Release
from .shared import PROXY_FIX, SCHEDULER, WEBSERVER, metrics_keys

# Debian 12 and later have no Python 2.7; Ubuntu's last is 22.04 (universe).
_VIRTUALENV = (
    "virtualenv==20.21.1",  # the last that makes a Python 2.7 environment
    "distlib==0.3.9",
    "filelock==3.12.4",
    "platformdirs==3.11.0",
)
_WORKER = Component(
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
_FLOWER = Component(
    "flower",
    ("flower",),
    "celery flower -A airflow.executors.celery_executor:app",
    "Celery monitor",
    probe=("flower",),
    memory=65,
    reads_dags=False,
)

AIRFLOW_1_8 = Release(
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
        replace(WEBSERVER, command="python {lib}/webserver_1_8.py", memory=75, memory_each=61),
        replace(SCHEDULER, memory=65),
        _WORKER,
        _FLOWER,
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
        **metrics_keys("scheduler"),
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

AIRFLOW_1_10 = Release(
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
        WEBSERVER,
        SCHEDULER,
        replace(
            _WORKER,
            command_beside_web="airflow worker --skip_serve_logs -c {concurrency} -q {queues}",
        ),
        _FLOWER,
    ),
    keys={
        **{name: key for name, key in AIRFLOW_1_8.keys.items() if name != "home"},
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
    behind_proxy=PROXY_FIX,
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
