"""Three tasks, one after the other: the smallest proof that the whole stack works."""

from datetime import datetime

from airflow import DAG

try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:  # Airflow 1 and 2
    try:
        from airflow.operators.bash import BashOperator
    except ImportError:
        from airflow.operators.bash_operator import BashOperator

try:
    dag = DAG("example_three_tasks", start_date=datetime(2017, 4, 21), schedule=None)
except TypeError:  # before Airflow 2.4 the argument has its older name
    dag = DAG("example_three_tasks", start_date=datetime(2017, 4, 21), schedule_interval=None)

extract = BashOperator(task_id="extract", bash_command="echo extracted on $(hostname)", dag=dag)
# Each ancestor of this process on a line of its own: a Celery worker is among them.
transform = BashOperator(
    task_id="transform",
    bash_command=(
        "pid=$$; while [ $pid -gt 1 ]; do"
        " tr '\\0' ' ' < /proc/$pid/cmdline; echo;"
        " pid=$(sed 's/.*) [A-Z] //' /proc/$pid/stat | cut -d' ' -f1); done"
    ),
    dag=dag,
)
load = BashOperator(task_id="load", bash_command="echo loaded at $(date -u)", dag=dag)

extract.set_downstream(transform)
transform.set_downstream(load)
