"""Airflow 1.8's `airflow webserver`, but ended together with its gunicorn, so that systemd sees it.

By itself it waits for ever for a gunicorn that has ended, as one does whose database is away.
"""

import os
import threading

from airflow.bin import cli

watch_workers = cli.restart_workers


def end_with(gunicorn):
    gunicorn.wait()
    os._exit(0)


def restart_workers(gunicorn, *arguments):
    watcher = threading.Thread(target=end_with, args=(gunicorn,))
    watcher.daemon = True
    watcher.start()
    watch_workers(gunicorn, *arguments)


cli.restart_workers = restart_workers
arguments = cli.CLIFactory.get_parser().parse_args(["webserver"])
arguments.func(arguments)
