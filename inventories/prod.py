"""Today's Airflow over five hosts: copy this file, and put your addresses in.

The names on the left are what the hosts call each other; they need no DNS. Another worker is one
more line, and its name in the list of workers.
"""

hosts = (
    [
        ("data1", {"ssh_hostname": "192.0.2.11"}),
        ("web1", {"ssh_hostname": "192.0.2.12"}),
        ("scheduler1", {"ssh_hostname": "192.0.2.13"}),
        ("worker1", {"ssh_hostname": "192.0.2.14"}),
        ("worker2", {"ssh_hostname": "192.0.2.15", "airflow_worker_queues": ["reports"]}),
    ],
    {
        "ssh_user": "debian",
        "_sudo": True,
        "airflow_version": "3.3.2",
        "airflow_dags": "files/dags",
        "airflow_worker_concurrency": 4,
        "firewall": True,
    },
)

postgresql = ["data1"]
pgbouncer = ["data1"]
rabbitmq = ["data1"]
proxy = ["web1"]
api_server = ["web1"]
scheduler = ["scheduler1"]
dag_processor = ["scheduler1"]
triggerer = ["scheduler1"]
worker = ["worker1", "worker2"]
