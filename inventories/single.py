"""Today's Airflow, all of it on one host.

Say which host with AIRFLOW_HOST, or edit the address.
"""

import os

host = os.environ.get("AIRFLOW_HOST", "192.0.2.10")

hosts = (
    [host],
    {
        "ssh_user": os.environ.get("AIRFLOW_SSH_USER", "debian"),
        "_sudo": True,
        "airflow_version": os.environ.get("AIRFLOW_VERSION", "3.3.2"),
        "airflow_dags": "files/dags",
    },
)

postgresql = rabbitmq = [host]
api_server = scheduler = dag_processor = triggerer = worker = [host]
