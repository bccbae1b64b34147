"""The name of this host in the inventory, under which every host of it is reached."""

import os


def get():
    return os.environ["AIRFLOW_HOSTNAME"]
