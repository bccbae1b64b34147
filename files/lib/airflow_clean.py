"""Remove from the metadata database what is older than so many days:

    airflow_clean.py DAYS [WORDS...]

WORDS are those of Airflow's own command for that, where the release has one. A DAG's last run
stays, and so does what runs. The tasks' results are cleaned as well.
"""

from __future__ import print_function

import os
import re
import subprocess
import sys
import time

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
    before = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 86400 * float(days)))
    if words:
        clean = ["--clean-before-timestamp", before + "+00:00", "--skip-archive", "--yes"]
        code = subprocess.call(["airflow"] + list(words) + clean)
        if code:
            sys.exit(code)
    else:
        clean_old(before)
    execute(
        "RESULT_BACKEND", [("celery_taskmeta", "date_done < %(before)s")], {"before": before}
    )


def clean_old(before):
    same = "(dag_id, execution_date) IN (SELECT dag_id, execution_date FROM old)"
    rules = [(table, same) for table in OF_A_RUN] + sorted(BY_TIME.items())
    execute("SQL_ALCHEMY_CONN", rules, {"before": before}, first=OLD)


def execute(variable, rules, values, first=None):
    """Delete by (table, condition) in one transaction, from the tables that there are."""
    import psycopg2

    (url,) = [os.environ[key] for key in os.environ if key.endswith(variable)]
    url = re.sub(r"^(db\+)?postgresql(\+\w+)?:", "postgresql:", url)
    connection = psycopg2.connect(url, connect_timeout=10)
    cursor = connection.cursor()
    if first:
        cursor.execute(first, values)
    for table, condition in rules:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
        if cursor.fetchone()[0]:
            cursor.execute("DELETE FROM {} WHERE {}".format(table, condition), values)
            print("removed", cursor.rowcount, "of", table)
    connection.commit()


main(*sys.argv[1:])
