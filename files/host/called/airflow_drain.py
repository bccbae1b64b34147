"""Have this host's Celery worker take no new tasks, and wait until it has finished those it has.

    airflow_drain.py SECONDS QUEUE...

Names on standard error what still runs after that time, and then ends with code 1.
"""

from __future__ import print_function

import re
import sys
import time

from airflow_probe import celery_worker

NAMES = (
    # Airflow 3 sends a task as JSON, its forerunners as words of a command, and 1.8 as one text.
    (r'"dag_id":\s*"([^"]+)"', r'"task_id":\s*"([^"]+)"'),
    (r"'run', u?'([^']+)'", r"'run', u?'[^']+', u?'([^']+)'"),
    (r"airflow run (\S+)", r"airflow run \S+ (\S+)"),
)


def main(seconds, *queues):
    control, worker = celery_worker()
    for queue in queues:
        control.cancel_consumer(queue, destination=[worker], reply=True, timeout=5)
    end = time.time() + float(seconds)
    while True:
        left = tasks(control.inspect(destination=[worker], timeout=5), worker)
        if left == []:
            return
        if time.time() >= end:
            sys.exit(still_running(left))
        time.sleep(1)


def still_running(tasks):
    """Return the sentence about what is left; None are tasks that are not known."""
    return "still running: " + ("the worker gives no answer" if tasks is None else ", ".join(tasks))


def tasks(inspect, worker):
    """Name the tasks that a worker has, running or about to; None when it gives no answer."""
    found = [(asked() or {}).get(worker) for asked in (inspect.active, inspect.reserved)]
    if None in found:
        return None
    return [name(task) for listed in found for task in listed]


def name(task):
    text = "{} {}".format(task.get("args"), task.get("kwargs")).replace('\\"', '"')
    for patterns in NAMES:
        words = [re.search(pattern, text) for pattern in patterns]
        if all(words):
            return " ".join(word.group(1) for word in words)
    return str(task.get("id"))


if __name__ == "__main__":
    main(*sys.argv[1:])
