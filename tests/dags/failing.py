"""One task that fails, for the reason that a person looks for."""

from datetime import datetime

from airflow import DAG

try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator


def fail() -> None:
    raise RuntimeError("the reason that a person looks for")


dag = DAG("failing", start_date=datetime(2017, 4, 21), schedule=None)
PythonOperator(task_id="fail", python_callable=fail, dag=dag)
