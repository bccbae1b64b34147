"""Today's Airflow, all of it on one host.

Say which host with AIRFLOW_HOST, or edit the address.
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
        "airflow_version": os.environ.get("AIRFLOW_VERSION", "3.3.2"),
        "airflow_dags": "files/dags",
    },
)

postgresql = rabbitmq = [host]
api_server = scheduler = dag_processor = triggerer = worker = [host]
