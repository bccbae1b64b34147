"""Remove from the metadata database what is older than so many days:

    airflow_clean.py DAYS [WORDS...]

WORDS are those of Airflow's own command for that, where the release has one. A DAG's last run
stays, and so does what runs. The tasks' results are cleaned as well.
"""

from __future__ import print_function

import subprocess
import sys
import time

from airflow_sql import METADATA, RESULTS, transaction

# Of Airflow 1: a run goes with everything that bears its date.
OLD = """
CREATE TEMPORARY TABLE old AS SELECT dag_id, execution_date FROM dag_run r
    WHERE execution_date < %(before)s AND state <> 'running'
    AND execution_date < (SELECT max(execution_date) FROM dag_run WHERE dag_id = r.dag_id)
"""
OF_A_RUN = (
    "task_instance",
    "xcom",
    "task_fail",
    "sla_miss",
    "task_reschedule",
    "rendered_task_instance_fields",
    "dag_run",
)
BY_TIME = {
    "log": "dttm < %(before)s",
    "job": "latest_heartbeat < %(before)s AND state IS DISTINCT FROM 'running'",
}


def main(days, *words):
    before = earlier(days, time.time())
    if words:
        clean = ["--clean-before-timestamp", before + "+00:00", "--skip-archive", "--yes"]
        code = subprocess.call(["airflow"] + list(words) + clean)
        if code:
            sys.exit(code)
    else:
        delete(METADATA, of_old_runs(), before, first=OLD)
    delete(RESULTS, [("celery_taskmeta", "date_done < %(before)s")], before)


def earlier(days, now):
    """Return the time, in UTC, that was so many days before ``now``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now - 86400 * float(days)))


def of_old_runs():
    """Return what of Airflow 1's tables goes: (table, condition)."""
    same = "(dag_id, execution_date) IN (SELECT dag_id, execution_date FROM old)"
    return [(table, same) for table in OF_A_RUN] + sorted(BY_TIME.items())


def delete(ending, rules, before, first=None):
    """Delete by (table, condition) in one transaction, from the tables that there are."""
    values = {"before": before}
    with transaction(ending) as cursor:
        if first:
            cursor.execute(first, values)
        for table, condition in rules:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
            if cursor.fetchone()[0]:
                cursor.execute("DELETE FROM {} WHERE {}".format(table, condition), values)
                print("removed", cursor.rowcount, "of", table)


if __name__ == "__main__":
    main(*sys.argv[1:])
