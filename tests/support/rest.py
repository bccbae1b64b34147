"""Use an Airflow 2 or 3 by its REST API, with a login, as its web UI does."""

import time
from pathlib import Path
from typing import Any

import requests

from tests.support.waiting import until


class Airflow:
    """A deployed Airflow with a REST API."""

    def __init__(
        self, address: str, password: str, release: str, *, certificate: Path | None = None
    ) -> None:
        """``certificate`` is that of a proxy at ``address``."""
        self.url = f"https://{address}" if certificate else f"http://{address}:8080"
        self.certificate = certificate
        self.password = password
        self.release = release
        self.modern = release.startswith("3.")
        self.api = f"{self.url}/api/{'v2' if self.modern else 'v1'}"

    def session(self, password: str | None = None, user: str = "admin") -> requests.Session:
        """Log in with a password, right or wrong."""
        session = requests.Session()
        if self.certificate:
            session.verify = str(self.certificate)
            session.trust_env = False  # else REQUESTS_CA_BUNDLE would win
        login = {"username": user, "password": password or self.password}
        if self.modern:
            answer = session.post(f"{self.url}/auth/token", json=login, timeout=60)
            token = answer.json().get("access_token", "none") if answer.ok else "none"
            session.headers["Authorization"] = f"Bearer {token}"
        else:
            session.auth = (login["username"], login["password"])
        return session

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Call the API and give the answer's JSON."""
        answer = self.session().request(method, f"{self.api}/{path}", json=body or None, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def knows(self, dag: str) -> bool:
        """Tell whether the DAG has been parsed; while the web server starts it has not."""
        try:
            return self.session().get(f"{self.api}/dags/{dag}", timeout=60).ok
        except requests.ConnectionError:
            return False

    def start(self, dag: str) -> str:
        """Start a run of a DAG, and give its id."""
        until(lambda: self.knows(dag), 180, f"the DAG {dag}")
        self.call("PATCH", f"dags/{dag}", is_paused=False)
        body: dict[str, Any] = {"logical_date": None} if self.modern else {"conf": {}}
        run: str = self.call("POST", f"dags/{dag}/dagRuns", **body)["dag_run_id"]
        return run

    def run(self, dag: str, seconds: float = 240) -> tuple[str, str]:
        """Run a DAG to its end: (run id, state)."""
        run = self.start(dag)
        end = time.monotonic() + seconds
        while True:
            state = self.call("GET", f"dags/{dag}/dagRuns/{run}")["state"]
            if state in ("success", "failed") or time.monotonic() > end:
                return run, state
            time.sleep(2)

    def tasks(self, dag: str, run: str) -> dict[str, dict[str, Any]]:
        """Give the task instances of a run by task."""
        found = self.call("GET", f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {instance["task_id"]: instance for instance in found}

    def log(self, dag: str, run: str, task: str) -> str:
        """Read the log of a task's first try."""
        path = f"{self.api}/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/1"
        answer = self.session().get(path, headers={"Accept": "application/json"}, timeout=60)
        assert answer.ok, answer.text[:500]
        return answer.text
