"""The cluster policy that adds the report of failures to each task."""

import subprocess
import sys
from pathlib import Path

from tasks.resources import resource

# What the policy makes of each kind of callback, asked by both of its names.
SCRIPT = """
from types import SimpleNamespace as Task
import airflow_local_settings as ours
from airflow_reports import failed

for callback in (None, [print], print):
    task = Task(on_failure_callback=callback, owner="nobody")
    ours.task_policy(task)
    ours.policy(task)
    got = task.on_failure_callback
    print(got is failed, got == [print, failed], callable(got), task.owner)
print(*ours.__all__)
"""
THEIRS = """
import os
_hidden = 1

def task_policy(task):
    task.owner = "theirs"

def pod_mutation_hook(pod):
    pass
"""


def policy(home: Path) -> list[str]:
    """Say what becomes of a task's callbacks, with this AIRFLOW_HOME."""
    environment = {"PYTHONPATH": str(resource("host/imported")), "AIRFLOW_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_each_task_is_reported_once_beside_its_own_callbacks(tmp_path: Path) -> None:
    assert policy(tmp_path) == [
        "True False True nobody",
        "False True False nobody",
        "False False True nobody",
        "policy task_policy",
    ]


def test_somebody_s_own_local_settings_count(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/airflow_local_settings.py").write_text(THEIRS)
    *tasks, names = policy(tmp_path)
    assert [line.split()[-1] for line in tasks] == ["theirs"] * 3
    assert set(names.split()) == {"os", "pod_mutation_hook", "policy", "task_policy"}
