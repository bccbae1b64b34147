"""One host with everything: the stack of the 2017 walkthrough, made safe.

Say which host with AIRFLOW_HOST, or edit the address. Debian 11 and Ubuntu 22.04 have
the Python 2.7 that this release needs.
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
        "airflow_version": "1.8.2",
        "airflow_extras": (
            "async,devel,celery,crypto,druid,gcp_api,jdbc,hdfs,hive,kerberos,ldap,"
            "password,postgres,qds,rabbitmq,s3,samba,slack"
        ),
        "airflow_dags": "files/dags",
    },
)

postgresql = [host]
rabbitmq = [host]
webserver = [host]
scheduler = [host]
worker = [host]
