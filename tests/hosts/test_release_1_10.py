"""Airflow 1.10 with everything on one host, every extra included."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tasks.catalog import releases
from tests.hosts.test_walkthrough import FAILING_DAG
from tests.support import objects
from tests.support.airflow_1_10 import Airflow
from tests.support.cli import Deployment
from tests.support.hosts import Host, Network
from tests.support.receivers import Receivers
from tests.support.reports import REASON
from tests.support.verify import verify

pytestmark = pytest.mark.docker

RELEASE = releases.find("1.10.15")
# What a URL, a shell, configparser and Airflow's own expansion of variables could trip over.
AWKWARD = "~p%s$HOME%%/@:{x} '\\\"`z"
JDBC_DAG = """
from datetime import datetime
from airflow import DAG
from airflow.operators.python_operator import PythonOperator

def ask():
    import jpype
    jpype.startJVM(jpype.getDefaultJVMPath(), convertStrings=False)
    print("Java is", jpype.java.lang.System.getProperty("java.version"))

dag = DAG("java", start_date=datetime(2017, 4, 21), schedule_interval=None)
PythonOperator(task_id="ask", python_callable=ask, dag=dag)
"""


@dataclass
class Stack:
    """A deployed host."""

    host: Host
    deployment: Deployment
    airflow: Airflow


@pytest.fixture(scope="module")
def stack(
    network: Network, receivers: Receivers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    host = network.host("release-1-10", distribution="bullseye")
    password = f"admin-{AWKWARD}"
    deployment = Deployment(
        "inventories/demo.py",
        {
            **host.data,
            "airflow_extras": ",".join(RELEASE.extras),
            **receivers.settings,
            "airflow_config": {
                "scheduler": {"dag_dir_list_interval": 10},
                "smtp": receivers.smtp,
            },
            "airflow_secrets_file": str(tmp_path_factory.mktemp("secrets") / "secrets.json"),
        },
        environment={
            "DEMO_ADDRESS": host.address,
            "DEMO_KEY": host.data["ssh_key"],
            "DEMO_RELEASE": RELEASE.version,
            "AIRFLOW_ADMIN_PASSWORD": password,
            "POSTGRESQL_PASSWORD": AWKWARD,
            "RABBITMQ_PASSWORD": AWKWARD,
        },
    )
    run = deployment.run()
    assert run.code == 0, run.output
    yield Stack(host, deployment, Airflow(host, password))
    network.drop(host)


def test_the_next_plan_is_empty_and_the_next_run_changes_nothing(stack: Stack) -> None:
    assert stack.deployment.dry().planned == []
    run = stack.deployment.run()
    assert (run.code, run.changed) == (0, [])


def test_three_tasks_succeed_through_the_worker(stack: Stack) -> None:
    airflow = stack.airflow
    date = airflow.trigger("example_three_tasks")
    assert airflow.finish("example_three_tasks", date) == "success"
    states = airflow.query(
        "select task_id, state, hostname from task_instance"
        f" where dag_id = 'example_three_tasks' and execution_date = '{date}' order by start_date"
    )
    name = stack.host.address  # what the inventory calls it
    assert states == [[task, "success", name] for task in ("extract", "transform", "load")]
    assert "celeryd" in airflow.log_page("example_three_tasks", "transform", date)


def test_the_web_ui_lets_in_by_the_right_password_only(stack: Stack) -> None:
    airflow = stack.airflow
    for session in (requests.Session(), airflow.login("wrong")):
        assert "Sign In" in session.get(f"{airflow.url}/home", timeout=30).text
    page = airflow.login(airflow.password).get(f"{airflow.url}/home", timeout=30)
    assert "example_three_tasks" in page.text
    users = airflow.login(airflow.password).get(f"{airflow.url}/users/list/", timeout=30)
    assert "admin@localhost" in users.text  # an administrator may see this page


def test_objects_in_code_come_and_what_is_changed_by_hand_is_mended(
    stack: Stack, tmp_path: Path
) -> None:
    """This release gives every role what a User may, whenever its web server starts."""
    declared = objects.declared(tmp_path, roles=True)
    declared["airflow_roles"] = {"Analyst": ["can_dag_read on java", "can_index on Airflow"]}
    config = tmp_path / "webserver_config.py"
    config.write_text(
        "from airflow.configuration import conf\n"
        "SQLALCHEMY_DATABASE_URI = conf.get('core', 'SQL_ALCHEMY_CONN')\n"
        "AUTH_TYPE = 1\nWTF_CSRF_ENABLED = True\nSESSION_COOKIE_NAME = 'seen_live'\n"
    )
    with_config = {**declared, "airflow_webserver_config": str(config)}
    plan, run = stack.deployment.dry(**declared), stack.deployment.run(**declared)
    assert (plan.planned, run.changed) == (objects.STEPS, objects.STEPS)
    assert stack.deployment.run(**with_config).code == 0  # the web server starts anew
    assert stack.deployment.dry(**with_config).planned == []
    objects.check(stack.host)
    assert "seen_live" in requests.get(f"{stack.airflow.url}/login/", timeout=30).cookies
    objects.sql(stack.host, objects.DRIFT + "DELETE FROM ab_user_role; DELETE FROM ab_user")
    mended = ["Database | Create the login admin", *objects.STEPS[1:]]
    plan, run = stack.deployment.dry(**declared), stack.deployment.run(**declared)
    assert (plan.planned, run.changed) == (mended, mended)
    page = stack.airflow.login(objects.SECRETS["login"], "ann")
    assert "java" in page.get(f"{stack.airflow.url}/home", timeout=30).text
    config.write_text("match 1:\n    case 'SQLALCHEMY_DATABASE_URI':\n        pass\n")  # not in 3.9
    broken = stack.deployment.show("-y", **with_config)
    assert broken.code != 0
    assert "airflow_webserver_config: invalid syntax (webserver_config.py, line 1)" in broken.output


def test_the_experimental_api_lets_nobody_in(stack: Stack) -> None:
    url = f"{stack.airflow.url}/api/experimental/dags/example_three_tasks/dag_runs"
    assert requests.post(url, json={}, timeout=30).status_code == 403


def test_a_failing_task_s_traceback_is_on_its_log_page(stack: Stack) -> None:
    stack.airflow.add_dag("failing", FAILING_DAG)
    date = stack.airflow.trigger("failing")
    assert stack.airflow.finish("failing", date) == "failed"
    page = stack.airflow.log_page("failing", "fail", date)
    assert "Traceback" in page
    assert "the reason that a person looks for" in page
    told = stack.host.ssh("journalctl -q -o cat -t airflow-report").stdout
    assert re.search(rf"^dag=failing task=fail .* error={re.escape(REASON)}", told, re.M)


def test_flower_asks_for_the_administrator_s_login(stack: Stack) -> None:
    def answer(password: str) -> str:
        login = base64.b64encode(f"admin:{password}".encode()).decode()
        ask = (
            "import urllib.request as u\n"
            f"asked = u.Request('http://127.0.0.1:5555/dashboard?json=1',"
            f" headers={{'Authorization': 'Basic {login}'}})\n"
            "print(u.urlopen(asked).read().decode())"
        )
        return stack.host.ssh("python3 -", input=ask, check=False).stdout

    assert "celery@release-1-10" in answer(stack.airflow.password)
    assert answer("wrong") == ""


def test_a_task_can_use_java(stack: Stack) -> None:
    """JPype1 0.7.1, which the release wants, is older than Python 3.9."""
    stack.airflow.add_dag("java", JDBC_DAG)
    date = stack.airflow.trigger("java")
    assert stack.airflow.finish("java", date) == "success"
    assert "Java is 11" in stack.airflow.log_page("java", "ask", date)


def test_the_environment_holds_what_the_release_can_use(stack: Stack) -> None:
    installed = stack.host.ssh("/opt/airflow/current/bin/pip list --format=freeze").stdout
    assert "celery==4.4.7" in installed
    assert "No broken requirements" in stack.host.ssh("/opt/airflow/current/bin/pip check").stdout


@pytest.mark.parametrize(
    ("broken", "step"),
    [
        ("UPDATE ab_user SET password = 'pbkdf2:sha256:1$x$y'", "Change the login admin"),
        ("DELETE FROM ab_user_role; DELETE FROM ab_user", "Create the login admin"),
    ],
)
def test_a_broken_login_is_mended(stack: Stack, broken: str, step: str) -> None:
    stack.airflow.query(broken)
    assert stack.deployment.dry().planned == [f"Database | {step}"]
    assert stack.deployment.run().changed == [f"Database | {step}"]
    assert stack.deployment.dry().planned == []
    page = stack.airflow.login(stack.airflow.password).get(f"{stack.airflow.url}/home", timeout=30)
    assert "example_three_tasks" in page.text


def test_only_ssh_and_the_web_ui_listen_beyond_loopback(stack: Stack) -> None:
    lines = stack.host.ssh("ss -Hltn").stdout.splitlines()
    ports = {line.split()[3] for line in lines}
    everywhere = {port for port in ports if not port.startswith(("127.", "[::1]"))}
    assert everywhere == {"0.0.0.0:22", "[::]:22", "0.0.0.0:8080"}


def test_logs_stay_in_the_log_folder(stack: Stack) -> None:
    assert not stack.host.ssh("find /var/lib/airflow -name '*.log'").stdout


def test_no_secret_is_shown_or_readable_by_others(stack: Stack) -> None:
    generated = Path(stack.deployment.data["airflow_secrets_file"]).read_text()
    secrets = [*re.findall(r'": "(.+)"', generated), stack.airflow.password, AWKWARD]
    shown = stack.host.ssh(
        "find /etc /opt /usr/local /tmp /run -perm -004 -type f -exec cat -v {} +"
        " 2>/dev/null; ps -ef; systemctl show 'airflow-*'"
    ).stdout
    assert [secret for secret in secrets if secret in shown] == []


def test_verifying_runs_a_task_on_the_worker_and_reads_its_log(stack: Stack) -> None:
    assert verify(stack.deployment).wrong == set()
