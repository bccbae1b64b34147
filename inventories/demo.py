"""The throwaway host that scripts/demo makes; it hands the address and the key over."""

import os

host = os.environ.get("DEMO_ADDRESS", "192.0.2.10")

hosts = (
    [host],
    {
        "ssh_user": "root",
        "ssh_key": os.environ.get("DEMO_KEY", "~/.ssh/id_ed25519"),
        "ssh_known_hosts_file": "/dev/null",
        "ssh_strict_host_key_checking": "no",
        "airflow_version": os.environ.get("DEMO_RELEASE", "3.3.2"),
        "airflow_dags": "files/dags",
    },
)

postgresql = rabbitmq = [host]
api_server = scheduler = dag_processor = triggerer = worker = flower = [host]
