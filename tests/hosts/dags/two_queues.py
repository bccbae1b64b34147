"""Two tasks, each for a queue of its own."""

from datetime import datetime

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

dag = DAG("two_queues", start_date=datetime(2017, 4, 21), schedule=None)
for queue in ("default", "reports"):
    BashOperator(task_id=queue, queue=queue, bash_command="echo on $(hostname)", dag=dag)
