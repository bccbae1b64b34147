"""The hosts of a benchmark: the first runs everything, and each further one a worker."""

import os

port = os.environ.get("BENCHMARK_PORT")
# One host at the other end of a line.
far = {"ssh_hostname": "127.0.0.1", "ssh_port": int(port)} if port else {}
hosts = (
    [
        (f"host{number}", {"ssh_hostname": address} | far)
        for number, address in enumerate(os.environ["BENCHMARK_HOSTS"].split(","), start=1)
    ],
    {
        **({"airflow_address": os.environ["BENCHMARK_HOSTS"]} if port else {}),
        "ssh_user": "root",
        "ssh_key": os.environ["BENCHMARK_KEY"],
        "ssh_known_hosts_file": os.environ["BENCHMARK_KNOWN_HOSTS"],
        "airflow_dags": "files/dags",
        "airflow_secrets_file": os.environ["BENCHMARK_SECRETS"],
    },
)

names = [name for name, _ in hosts[0]]
postgresql = rabbitmq = api_server = scheduler = dag_processor = triggerer = names[:1]
worker = names
