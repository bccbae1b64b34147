"""Use an Airflow 1.10 with its RBAC UI as a person would."""

import re

import requests

from tests.support import airflow_1_8


class Airflow(airflow_1_8.Airflow):
    """A deployed Airflow 1.10 on one host."""

    def login(self, password: str, user: str = "admin") -> requests.Session:
        """Log in with a password, right or wrong."""
        session = requests.Session()
        page = session.get(f"{self.url}/login/", timeout=30)
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        form = {"username": user, "password": password}
        form |= {"csrf_token": token[1] if token else ""}
        session.post(f"{self.url}/login/", data=form, timeout=30)
        return session

    def log_page(self, dag: str, task: str, date: str) -> str:
        """Read a task's log as the log page fetches it."""
        answer = self.login(self.password).get(
            f"{self.url}/get_logs_with_metadata",
            params={
                "dag_id": dag,
                "task_id": task,
                "execution_date": date.replace(" ", "T"),
                "try_number": "1",
                "metadata": "{}",
            },
            timeout=30,
        )
        assert answer.status_code == 200, answer.text[:500]
        message: str = answer.json()["message"]
        return message
