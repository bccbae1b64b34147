"""What is seen when a host cleans up, whatever the release."""

from tests.support.cli import Deployment
from tests.support.hosts import Host

LOGS = "/var/log/airflow"
PSQL = "cd / && runuser -u postgres -- psql airflow -XAtq -v ON_ERROR_STOP=1"
# Of two runs at least, the first becomes an old one; its tasks follow by its id or its date.
AGE = """
CREATE TEMPORARY TABLE first AS SELECT min(id) AS id FROM dag_run WHERE dag_id = '{dag}';
ALTER TABLE task_instance DISABLE TRIGGER ALL;
{tasks}
UPDATE dag_run SET {date} = {date} - interval '60 days',
    start_date = start_date - interval '60 days' WHERE id = (SELECT id FROM first);
ALTER TABLE task_instance ENABLE TRIGGER ALL;
"""
TASKS_BY_DATE = """
UPDATE task_instance SET execution_date = execution_date - interval '60 days'
    WHERE dag_id = '{dag}' AND execution_date =
    (SELECT execution_date FROM dag_run WHERE id = (SELECT id FROM first));
"""


def check_nightly(deployment: Deployment, host: Host, dag: str, *, date: str) -> None:
    """Let a run and some logs become old, and see that they go, and nothing else.

    ``date`` is the column of dag_run that Airflow sorts by.
    """
    by_date = TASKS_BY_DATE.format(dag=dag) if date == "execution_date" else ""
    age = AGE.format(dag=dag, date=date, tasks=by_date)
    host.ssh(PSQL, input=age)
    runs, tasks = (_count(host, table, dag) for table in ("dag_run", "task_instance"))
    assert runs > 1
    host.ssh(
        f"mkdir -p {LOGS}/old/task {LOGS}/scheduler"
        f" && touch -d '60 days ago' {LOGS}/old/task/1.log {LOGS}/scheduler/old.log"
        f" && touch -d '2 days ago' {LOGS}/scheduler/new.log {LOGS}/kept.log"
    )

    host.ssh("systemctl start airflow-nightly.service")
    assert _exist(host) == {"old/task/1.log", "scheduler/new.log", "kept.log"}
    assert _count(host, "dag_run", dag) == runs

    days = {"airflow_log_days": 30, "airflow_metadata_days": 30}
    run = deployment.run(**days)
    assert run.changed == [
        "Housekeeping | Write /etc/systemd/system/airflow-nightly.service",
        "Housekeeping | Run airflow-nightly.timer",
    ]
    host.ssh("systemctl start airflow-nightly.service")
    assert _exist(host) == {"scheduler/new.log", "kept.log"}
    assert _count(host, "dag_run", dag) == runs - 1
    assert 0 < _count(host, "task_instance", dag) < tasks
    assert deployment.dry(**days).planned == []
    assert deployment.run().code == 0


def _count(host: Host, table: str, dag: str) -> int:
    answer = host.ssh(PSQL, input=f"SELECT count(*) FROM {table} WHERE dag_id = '{dag}'")
    return int(answer.stdout)


def _exist(host: Host) -> set[str]:
    """Give which of the files made above are there."""
    made = "old/task/1.log scheduler/old.log scheduler/new.log kept.log"
    return set(host.ssh(f"cd {LOGS} && ls -d {made} 2>/dev/null || true").stdout.split())
