"""Today's Airflow on one host, with everything that tells how it is.

Say which host with AIRFLOW_HOST, and from where Prometheus scrapes it with PROMETHEUS.
"""

import os
from pathlib import Path

host = os.environ.get("AIRFLOW_HOST", "192.0.2.10")

hosts = (
    [host],
    {
        "ssh_user": os.environ.get("AIRFLOW_SSH_USER", "debian"),
        "_sudo": True,
        # Each host has passwords and keys of its own.
        "airflow_secrets_file": Path(__file__).parent / f".secrets/{host}.json",
        "airflow_dags": "files/dags",
        "airflow_extras": ["amazon"],
        "airflow_remote_logs": os.environ.get("AIRFLOW_LOGS", "s3://airflow/logs"),
        "airflow_remote_logs_connection": "logs",
        "airflow_journal_size": 512,
        "airflow_health_port": 8081,
        "monitoring_allow": os.environ.get("PROMETHEUS", "192.0.2.20"),
    },
)

postgresql = rabbitmq = [host]
api_server = scheduler = dag_processor = triggerer = worker = [host]
statsd_exporter = postgresql_exporter = rabbitmq_exporter = [host]
