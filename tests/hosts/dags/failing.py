"""One task that fails, for the reason that a person looks for."""

from datetime import datetime

from airflow import DAG

try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

try:
    from airflow.sdk.log import mask_secret
except ImportError:
    from airflow.utils.log.secrets_masker import mask_secret

VAULT = "known-to-the-vault-alone"


def fail() -> None:
    mask_secret(VAULT)
    raise RuntimeError(f"the reason that a person looks for\nand not {VAULT}")


dag = DAG("failing", start_date=datetime(2017, 4, 21), schedule=None)
PythonOperator(task_id="fail", python_callable=fail, dag=dag)
