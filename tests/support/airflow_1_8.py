"""Use an Airflow 1.8 by its database, its web UI and its command line, as a person would."""

import re

import requests

from tests.support.hosts import Host
from tests.support.waiting import until


class Airflow:
    """A deployed Airflow 1.8 on one host."""

    def __init__(self, host: Host, password: str) -> None:
        self.host = host
        self.password = password
        self.url = f"http://{host.address}:8080"

    def query(self, sql: str) -> list[list[str]]:
        """Ask the metadata database, as PostgreSQL's superuser."""
        answer = self.host.ssh("cd / && runuser -u postgres -- psql airflow -XAt -F '|'", input=sql)
        return [line.split("|") for line in answer.stdout.splitlines()]

    def add_dag(self, name: str, text: str) -> None:
        """Put a DAG file there by hand and wait until the scheduler knows it."""
        self.host.ssh(f"cat > /var/lib/airflow/dags/{name}.py", input=text)
        self.host.ssh(f"chmod 644 /var/lib/airflow/dags/{name}.py")
        self.await_dag(name)

    def await_dag(self, name: str) -> None:
        """Wait until the scheduler has found a DAG."""
        until(lambda: self.query(f"select 1 from dag where dag_id = '{name}'"), 120, name)

    def trigger(self, dag: str) -> str:
        """Start a run as the walkthrough types it, and give its execution date."""
        self.await_dag(dag)
        self.host.ssh(f"airflow unpause {dag} && airflow trigger_dag {dag}")
        (row,) = self.query(
            f"select execution_date from dag_run where dag_id = '{dag}' order by id desc limit 1"
        )
        return row[0]

    def finish(self, dag: str, date: str) -> str:
        """Wait until a run has ended, and give its state."""
        sql = f"select state from dag_run where dag_id = '{dag}' and execution_date = '{date}'"
        until(lambda: self.query(sql)[0][0] in ("success", "failed"), 180, f"end of {dag}")
        return self.query(sql)[0][0]

    def run(self, dag: str) -> str:
        """Run a DAG to its end, and give its state."""
        return self.finish(dag, self.trigger(dag))

    def login(self, password: str, user: str = "admin") -> requests.Session:
        """Log in with a password, right or wrong."""
        session = requests.Session()
        page = session.get(f"{self.url}/admin/airflow/login", timeout=30)
        token = re.search(r'name="_csrf_token"[^>]*value="([^"]+)"', page.text)
        form = {"username": user, "password": password}
        form |= {"_csrf_token": token[1] if token else ""}
        session.post(f"{self.url}/admin/airflow/login", data=form, timeout=30)
        return session

    def log_page(self, dag: str, task: str, date: str) -> str:
        """Read a task's log where a person reads it."""
        page = self.login(self.password).get(
            f"{self.url}/admin/airflow/log",
            params={"dag_id": dag, "task_id": task, "execution_date": date.replace(" ", "T")},
            timeout=30,
        )
        assert page.status_code == 200, page.text[:500]
        return page.text
