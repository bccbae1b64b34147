"""Have every task's failure reported, whatever its DAG says: Airflow asks `policy` or, since 2.0,
`task_policy` about each task of a DAG that it loads.

A file of this name in `config` in AIRFLOW_HOME, where Airflow looks for it by itself, is honoured
as well.
"""

import os
import sys

from airflow_reports import failed

if "AIRFLOW_DAGS_REPOSITORY" in os.environ:
    # Its files find their modules there, as others do in the folder of DAGs.
    sys.path.append(os.environ["AIRFLOW_DAGS_REPOSITORY"])
theirs = {}  # type: dict
path = os.path.join(os.environ["AIRFLOW_HOME"], "config", "airflow_local_settings.py")
if os.path.exists(path):
    with open(path) as file:
        exec(compile(file.read(), path, "exec"), theirs)
public = [name for name in theirs.get("__all__", theirs) if not name.startswith("_")]
globals().update((name, theirs[name]) for name in public)
__all__ = sorted(set(public) | {"policy", "task_policy"})


def task_policy(task):
    before = theirs.get("task_policy") or theirs.get("policy")
    if before:
        before(task)
    task.on_failure_callback = with_report(task.on_failure_callback)


policy = task_policy


def with_report(callback):
    """Add ours to a task's callbacks: none, one, or a list where the release knows lists."""
    if isinstance(callback, (list, tuple)):
        return list(callback) if failed in callback else list(callback) + [failed]
    if callback is None or callback is failed:
        return failed
    if getattr(callback, "reports", False):
        return callback

    def both(context):
        try:
            callback(context)
        finally:
            failed(context)

    both.reports = True  # type: ignore[attr-defined]
    return both
