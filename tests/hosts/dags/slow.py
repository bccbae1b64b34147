"""Two tasks that take their time, each for a queue of its own."""

from datetime import datetime

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

dag = DAG("slow", start_date=datetime(2017, 4, 21), schedule=None)
for queue in ("default", "reports"):
    BashOperator(task_id=queue, queue=queue, bash_command="sleep 60; echo slept", dag=dag)
