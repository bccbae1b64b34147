"""`scripts/demo`, as somebody who has just cloned the project calls it."""

import re
import subprocess
from collections.abc import Iterator

import docker
import pytest

from tests.support import airflow_1_8, rest
from tests.support.cli import ROOT
from tests.support.hosts import LABEL, TESTS, Host

pytestmark = pytest.mark.docker

NAME = TESTS


def demo(*options: str) -> str:
    """Call the script, and give what it prints."""
    command = [str(ROOT / "scripts/demo"), "--name", NAME, *options]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def containers() -> list[docker.models.containers.Container]:
    """List the demo's hosts."""
    return docker.from_env().containers.list(all=True, filters={"label": f"{LABEL}=demo-{NAME}"})


@pytest.fixture
def down() -> Iterator[None]:
    yield
    demo("--down")
    assert containers() == []


def printed(output: str) -> tuple[str, str]:
    """Read the address of the web UI and the password off the demo's last lines."""
    found = re.search(
        r"web UI +http://(\S+):8080\n +login +admin\n +password +(\S+)\n"
        rf" +remove +scripts/demo --name {NAME} --down\n",
        output,
    )
    assert found, output
    return found[1], found[2]


@pytest.mark.usefixtures("down")
def test_the_demo_is_today_s_airflow_whose_dag_has_succeeded() -> None:
    output = demo()
    assert "Airflow 3.3.2 has run the DAG example_three_tasks" in output
    airflow = rest.Airflow(*printed(output), "3.3.2")
    (run,) = airflow.call("GET", "dags/example_three_tasks/dagRuns")["dag_runs"]
    assert run["state"] == "success"


@pytest.mark.sweep
@pytest.mark.usefixtures("down")
def test_the_demo_still_does_the_walkthrough() -> None:
    address, password = printed(demo("--release", "1.8.2"))
    (container,) = containers()
    airflow = airflow_1_8.Airflow(Host(container, address), password)
    runs = airflow.query("select state from dag_run where dag_id = 'example_three_tasks'")
    assert runs == [["success"]]
    page = airflow.login(password).get(f"{airflow.url}/admin/", timeout=30)
    assert "example_three_tasks" in page.text
