"""Two tasks that fail, each in a queue of its own."""

from datetime import datetime

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

dag = DAG("failing_twice", start_date=datetime(2017, 4, 21), schedule=None)
for queue in ("default", "reports"):
    BashOperator(task_id=queue, queue=queue, bash_command="exit 1", dag=dag)
