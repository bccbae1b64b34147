"""The walkthrough's whole stack on one host, by `pyinfra inventories/walkthrough.py deploy.py`."""

import getpass
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import objects
from tests.support.airflow_1_8 import Airflow
from tests.support.cli import Deployment, Run, sudo_user
from tests.support.deliveries import check_broken_files
from tests.support.hosts import Host, Network
from tests.support.housekeeping import check_nightly
from tests.support.receivers import Receivers
from tests.support.reports import check_server_reports, check_task_reports, check_unit_reports
from tests.support.verify import verify
from tests.support.waiting import until

pytestmark = pytest.mark.docker

# Everything that a deploy may touch, by name, time, size and owner.
LISTING = (
    "find /etc /opt /usr /root /home /var/lib/dpkg /var/lib/airflow -path /root/.cache -prune -o"
    " -printf '%p %T@ %C@ %s %m %U\\n' 2>/dev/null | sort; ps -eo comm | sort -u"
)
# The same of a host on which Airflow works, and when its services were started.
SETTLED = (
    "find /etc /opt /var/lib/airflow /usr/local -printf '%p %T@ %C@ %s %m %U\\n' | sort;"
    " systemctl show -p Id -p ActiveEnterTimestampMonotonic 'airflow-*' 'postgresql@*'"
    " rabbitmq-server"
)
FAILING_DAG = """
from datetime import datetime
from airflow import DAG
from airflow.operators.python_operator import PythonOperator

def fail():
    raise RuntimeError("the reason that a person looks for")

dag = DAG("failing", start_date=datetime(2017, 4, 21), schedule_interval=None)
PythonOperator(task_id="fail", python_callable=fail, dag=dag)
"""


SLOW_DAG = """
from datetime import datetime
from airflow import DAG
from airflow.operators.bash_operator import BashOperator

dag = DAG("slow", start_date=datetime(2017, 4, 21), schedule_interval=None)
BashOperator(task_id="sleep", bash_command="sleep 40", dag=dag)
"""


@dataclass
class Stack:
    """A deployed host, and what the calls of pyinfra said."""

    host: Host
    deployment: Deployment
    airflow: Airflow
    fresh_plan: Run
    untouched: bool
    first_run: Run
    objects: dict[str, Any]
    """Settings of the objects in code that the first run was given, and no later one."""


@pytest.fixture(scope="module")
def stack(
    network: Network, receivers: Receivers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    secrets = tmp_path_factory.mktemp("secrets") / "secrets.json"
    host = network.host("walkthrough", distribution="bullseye")
    deployment = Deployment(
        "inventories/walkthrough.py",
        {**sudo_user(host), "airflow_secrets_file": str(secrets), **receivers.settings},
        environment={"AIRFLOW_HOST": host.address},
    )
    before = host.ssh(LISTING).stdout
    declared = objects.declared(secrets.parent, roles=False)
    plan = deployment.dry(**declared)
    untouched = host.ssh(LISTING).stdout == before
    run = deployment.run(**declared)
    assert run.code == 0, run.output
    password = json.loads(secrets.read_text())["airflow_admin_password"]
    yield Stack(host, deployment, Airflow(host, password), plan, untouched, run, declared)
    network.drop(host)


def test_a_dry_run_on_the_fresh_host_lists_every_step_and_touches_nothing(stack: Stack) -> None:
    assert stack.fresh_plan.code == 0
    assert stack.untouched
    assert stack.fresh_plan.planned == stack.first_run.changed
    for step in (
        "System | Create the user airflow",
        "PostgreSQL | Create the database airflow",
        "RabbitMQ | Remove the user guest",
        "Python | Create the environment of Airflow 1.8.2",
        "Airflow | Write /var/lib/airflow/airflow.cfg",
        "Database | Create the schema of Airflow 1.8.2",
        *objects.STEPS[1:],
        "Services | Run airflow-worker.service",
    ):
        assert step in stack.fresh_plan.planned
    assert not [step for step in stack.fresh_plan.steps if "{" in step or "=" in step]


def test_the_next_plan_is_empty_and_the_next_run_changes_nothing(stack: Stack) -> None:
    stack.host.ssh("touch -d '2 days ago' /var/lib/apt/periodic/update-success-stamp")
    assert stack.deployment.dry().planned == []
    run = stack.deployment.run()
    assert (run.code, run.changed) == (0, [])


def test_one_changed_setting_is_planned_exactly_and_the_plan_touches_nothing(stack: Stack) -> None:
    before = stack.host.ssh(SETTLED).stdout
    plan = stack.deployment.dry(airflow_worker_queues="default,reports")
    assert stack.host.ssh(SETTLED).stdout == before
    assert plan.planned == [
        "Services | Write /etc/systemd/system/airflow-worker.service",
        "Services | Run airflow-worker.service",
        "Services | Wait until the Celery worker works",
    ]
    assert stack.deployment.run(airflow_worker_queues="default,reports").changed == plan.planned
    assert stack.deployment.dry(airflow_worker_queues="default,reports").planned == []
    assert stack.deployment.run().changed == plan.planned


def test_three_tasks_succeed_through_the_worker(stack: Stack) -> None:
    airflow = stack.airflow
    date = airflow.trigger("example_three_tasks")
    assert airflow.finish("example_three_tasks", date) == "success"
    states = airflow.query(
        "select task_id, state, hostname from task_instance"
        f" where dag_id = 'example_three_tasks' and execution_date = '{date}' order by start_date"
    )
    # The name that this release goes by is the host's full one, as its resolver has it.
    fqdn = "import socket; print(socket.getfqdn())"
    name = stack.host.ssh(f"python3 -c '{fqdn}'").stdout.strip()
    assert states == [[task, "success", name] for task in ("extract", "transform", "load")]
    assert "celeryd" in airflow.log_page("example_three_tasks", "transform", date)


def test_tasks_wait_in_the_broker_s_queue_while_no_worker_runs(stack: Stack) -> None:
    host, airflow = stack.host, stack.airflow
    host.ssh("systemctl stop airflow-worker")
    date = airflow.trigger("example_three_tasks")

    def queued() -> bool:
        queues = host.ssh("rabbitmqctl -q list_queues -p airflow name messages consumers").stdout
        return ["default", "1", "0"] in [line.split() for line in queues.splitlines()]

    until(queued, 90, "a message in the queue default of the vhost airflow")
    host.ssh("systemctl start airflow-worker")
    assert airflow.finish("example_three_tasks", date) == "success"


def test_the_web_ui_lets_in_by_the_right_password_only(stack: Stack) -> None:
    airflow = stack.airflow
    assert "Sign in" in airflow.login("wrong").get(f"{airflow.url}/admin/", timeout=30).text
    page = airflow.login(airflow.password).get(f"{airflow.url}/admin/", timeout=30)
    assert "example_three_tasks" in page.text


def test_objects_in_code_are_there_and_what_is_changed_by_hand_is_mended(stack: Stack) -> None:
    objects.check(stack.host)
    drift = "UPDATE users SET email = 'x', password = 'x' WHERE username = 'ann';"
    objects.sql(stack.host, objects.DRIFT + drift)
    plan, run = stack.deployment.dry(**stack.objects), stack.deployment.run(**stack.objects)
    assert (plan.planned, run.changed) == (objects.STEPS[1:], objects.STEPS[1:])
    assert stack.deployment.dry(**stack.objects).planned == []
    objects.check(stack.host)
    page = stack.airflow.login(objects.SECRETS["login"], "ann")
    assert "example_three_tasks" in page.get(f"{stack.airflow.url}/admin/", timeout=30).text


def test_an_object_that_is_not_declared_goes_only_when_that_is_asked_for(stack: Stack) -> None:
    stack.host.ssh("airflow variables --set mine 1")
    steps = [objects.STEPS[1], objects.STEPS[4]]
    less = {**stack.objects, "airflow_users": {}}
    assert stack.deployment.dry(**less).planned == []
    less["airflow_remove_objects"] = "users,variables"
    plan, run = stack.deployment.dry(**less), stack.deployment.run(**less)
    assert (plan.planned, run.changed) == (steps, steps)
    assert objects.sql(stack.host, "SELECT username FROM users") == [["admin"]]
    objects.check(stack.host)


def test_the_experimental_api_lets_nobody_in(stack: Stack) -> None:
    url = f"{stack.airflow.url}/api/experimental/dags/example_three_tasks/dag_runs"
    assert requests.post(url, json={}, timeout=30).status_code == 403


def test_dag_files_that_do_not_import_are_told_or_refused(stack: Stack, tmp_path: Path) -> None:
    check_broken_files(stack.deployment, stack.host, tmp_path)


def test_a_failing_task_s_traceback_is_on_its_log_page(stack: Stack) -> None:
    stack.airflow.add_dag("failing", FAILING_DAG)
    date = stack.airflow.trigger("failing")
    assert stack.airflow.finish("failing", date) == "failed"
    page = stack.airflow.log_page("failing", "fail", date)
    assert "Traceback" in page
    assert "the reason that a person looks for" in page


def test_failures_are_reported_once_an_hour_with_a_count(
    stack: Stack, receivers: Receivers
) -> None:
    check_task_reports(receivers, stack.host, lambda: stack.airflow.run("failing"))


def test_a_unit_that_dies_is_reported_once(stack: Stack, receivers: Receivers) -> None:
    check_unit_reports(receivers, stack.host, "airflow-scheduler")


@pytest.mark.parametrize("unit", ["postgresql@*-main.service", "rabbitmq-server.service"])
def test_a_server_that_dies_is_reported_too(stack: Stack, receivers: Receivers, unit: str) -> None:
    check_server_reports(receivers, stack.host, unit)
    assert stack.deployment.run().changed == []


def test_the_walkthrough_s_commands_work_as_typed(stack: Stack) -> None:
    listed = stack.host.ssh("airflow list_dags")
    assert "example_three_tasks" in listed.stdout
    by_sudo = stack.host.exec("su - debian -c 'airflow list_tasks example_three_tasks'")
    assert "transform" in by_sudo.stdout
    owners = stack.host.ssh("find /var/log/airflow /var/lib/airflow -user root -type f").stdout
    assert sorted(owners.split()) == [
        "/var/lib/airflow/airflow.cfg",
        "/var/lib/airflow/dags.delivered",
        "/var/lib/airflow/dags/example_three_tasks.py",
        "/var/lib/airflow/dags/failing.py",
        "/var/lib/airflow/dags/verify_workers.py",
    ]


def test_celery_is_what_the_release_can_use(stack: Stack) -> None:
    installed = stack.host.ssh("/opt/airflow/current/bin/pip list --format=freeze").stdout
    assert "celery==3.1.26.post2" in installed
    assert "librabbitmq==2.0.0" in installed  # every extra of the walkthrough is there
    assert "No broken requirements" in stack.host.ssh("/opt/airflow/current/bin/pip check").stdout


def test_a_celery_4_put_there_by_hand_is_replaced(stack: Stack) -> None:
    host, mend = stack.host, "Python | Create the environment of Airflow 1.8.2"
    host.ssh(
        "PIP_CERT=/etc/ssl/certs/ca-certificates.crt"
        " /opt/airflow/current/bin/pip install -q celery==4.0.2"
    )
    plan = stack.deployment.dry()
    assert mend in plan.planned
    run = stack.deployment.run()
    assert (run.code, run.changed) == (0, plan.planned)
    assert "celery==3.1.26.post2" in host.ssh("/opt/airflow/current/bin/pip freeze").stdout
    assert "No broken requirements" in host.ssh("/opt/airflow/current/bin/pip check").stdout
    assert stack.deployment.dry().planned == []
    date = stack.airflow.trigger("example_three_tasks")
    assert stack.airflow.finish("example_three_tasks", date) == "success"


RABBITMQ_REPORT = "/etc/systemd/system/rabbitmq-server.service.d/airflow-report.conf"
SERVICES = [
    step
    for unit, what in (
        ("webserver", "web server"),
        ("scheduler", "scheduler"),
        ("worker", "Celery worker"),
    )
    for step in (
        f"Services | Run airflow-{unit}.service",
        f"Services | Wait until the {what} works",
    )
]


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        (
            "sed -i s/8080/8081/ /var/lib/airflow/airflow.cfg",
            ["Airflow | Write /var/lib/airflow/airflow.cfg", *SERVICES],
        ),
        (
            "rm /etc/airflow/airflow.env",
            ["Airflow | Write /etc/airflow/airflow.env", *SERVICES],
        ),
        (
            "sed -i s/mixed/process/ /etc/systemd/system/airflow-worker.service",
            ["Services | Write /etc/systemd/system/airflow-worker.service", *SERVICES[-2:]],
        ),
        (
            "systemctl disable airflow-scheduler",
            SERVICES[2:4],
        ),
        (
            "ln -sfn /opt/airflow/bootstrap /opt/airflow/current",
            ["Python | Point current to the environment", *SERVICES],
        ),
        (
            "rm -r /opt/airflow/current/lib/python2.7/site-packages/pytz-*",
            ["Python | Create the environment of Airflow 1.8.2", *SERVICES],
        ),
        (
            "chown root /var/lib/airflow",
            ["System | Create /var/lib/airflow"],
        ),
        (
            "rm /usr/local/bin/airflow",
            ["Airflow | Write /usr/local/bin/airflow"],
        ),
        (
            "sed -i '1i host all all 0.0.0.0/0 trust' /etc/postgresql/*/main/pg_hba.conf",
            ["PostgreSQL | Configure who may connect", "PostgreSQL | Run the server"],
        ),
        (
            "cd / && runuser -u postgres -- psql -c 'ALTER DATABASE airflow OWNER TO postgres'",
            ["PostgreSQL | Change the database airflow"],
        ),
        (
            "cd / && runuser -u postgres -- psql -c 'ALTER ROLE airflow SUPERUSER CREATEDB'",
            ["PostgreSQL | Change the role airflow"],
        ),
        (
            "cd / && runuser -u postgres -- psql -c \"ALTER ROLE airflow PASSWORD 'other'\"",
            ["PostgreSQL | Change the role airflow"],
        ),
        (
            "rabbitmqctl -q add_user guest guest </dev/null",
            ["RabbitMQ | Remove the user guest"],
        ),
        (
            "rabbitmqctl -q change_password airflow other </dev/null"
            " && rabbitmqctl -q set_user_tags airflow administrator </dev/null",
            ["RabbitMQ | Change the user airflow with its virtual host"],
        ),
        (
            "rabbitmqctl -q delete_vhost airflow </dev/null",
            ["RabbitMQ | Change the user airflow with its virtual host"],
        ),
        (
            "rabbitmqctl -q clear_permissions -p airflow airflow </dev/null",
            ["RabbitMQ | Change the user airflow with its virtual host"],
        ),
        (
            "sed -i \"s/^listen_addresses.*/listen_addresses = '*'/\""
            " /etc/postgresql/*/main/conf.d/50-airflow.conf",
            ["PostgreSQL | Configure the server", "PostgreSQL | Run the server"],
        ),
        (
            "/opt/airflow/current/bin/pip install -q --cert /etc/ssl/certs/ca-certificates.crt"
            " cowsay==5.0",
            ["Python | Create the environment of Airflow 1.8.2", *SERVICES],
        ),
        (
            "chmod 644 /etc/airflow/secrets.env",
            ["Airflow | Write /etc/airflow/secrets.env"],
        ),
        (
            "echo >> /var/lib/airflow/dags/example_three_tasks.py",
            ["DAGs | Deliver files/dags"],
        ),
        (
            "chmod 644 /var/lib/airflow/dags/example_three_tasks.py",
            ["DAGs | Deliver files/dags"],
        ),
        (
            "systemctl stop postgresql",
            ["PostgreSQL | Run the server"],
        ),
        (
            "systemctl stop rabbitmq-server",
            ["RabbitMQ | Run the broker"],
        ),
        (
            "systemctl stop airflow-scheduler",
            SERVICES[2:4],
        ),
        (
            f"rm {RABBITMQ_REPORT} && systemctl daemon-reload",
            [f"Services | Write {RABBITMQ_REPORT}"],
        ),
        (
            "systemctl disable --now airflow-nightly.timer",
            ["Housekeeping | Run airflow-nightly.timer"],
        ),
        (
            "echo '# mine' >> /etc/systemd/system/airflow-nightly.service",
            [
                "Housekeeping | Write /etc/systemd/system/airflow-nightly.service",
                "Housekeeping | Run airflow-nightly.timer",
            ],
        ),
        (
            "printf '[Service]\\nExecStart=/bin/sleep inf\\n[Install]\\nWantedBy=multi-user.target'"
            " > /etc/systemd/system/airflow-triggerer.service"
            " && systemctl enable --now airflow-triggerer",
            ["Services | Remove services that run elsewhere"],
        ),
        (
            "cd / && runuser -u postgres -- psql airflow -c 'DELETE FROM users'",
            ["Database | Create the login admin"],
        ),
    ],
)  # fmt: skip
def test_what_somebody_changed_is_planned_and_mended(
    stack: Stack, broken: str, mended: list[str]
) -> None:
    stack.host.ssh(broken)
    # What the case before this one had left undone would stand in the plan as well.
    plan, run = stack.deployment.dry(), stack.deployment.run()
    assert (plan.planned, run.changed) == (mended, mended)


TASK = {"task on HOST", "log from HOST"}
POSTGRESQL = "cd / && runuser -u postgres -- psql"
SECRETS = "/etc/airflow/secrets.env"
ODD_DAG = "/var/lib/airflow/dags/odd.py"


@pytest.mark.parametrize(
    ("broken", "mended", "wrong"),
    [
        ("systemctl stop airflow-webserver", "systemctl start airflow-webserver",
         {"web server", "log from HOST"}),
        ("systemctl stop airflow-scheduler", "systemctl start airflow-scheduler",
         {"scheduler", *TASK}),
        ("systemctl stop airflow-worker", "systemctl start airflow-worker",
         {"Celery worker", "queues", *TASK}),
        (f"{POSTGRESQL} -c 'ALTER ROLE airflow SUPERUSER'",
         f"{POSTGRESQL} -c 'ALTER ROLE airflow NOSUPERUSER'", {"database roles"}),
        ("rabbitmqctl -q add_user guest guest </dev/null",
         "rabbitmqctl -q delete_user guest </dev/null", {"broker users"}),
        (f"chmod 644 {SECRETS}", f"chmod 640 {SECRETS}", {"configuration and secrets"}),
        (f"{POSTGRESQL} airflow -c \"UPDATE alembic_version SET version_num = 'x'||version_num\"",
         f"{POSTGRESQL} airflow"
         " -c 'UPDATE alembic_version SET version_num = substr(version_num, 2)'",
         {"schema"}),
        ("setsid runuser -u airflow -- python3 -m http.server 9999 >/dev/null 2>&1 </dev/null &",
         "pkill -f http.server", {"open ports"}),
        (f"echo 'import no_such_thing  # airflow DAG' > {ODD_DAG}; chmod 644 {ODD_DAG};"
         f" for i in $(seq 120); do {POSTGRESQL} airflow -c 'SELECT filename FROM import_error'"
         " | grep odd.py && break; sleep 1; done",
         f"rm {ODD_DAG}; {POSTGRESQL} airflow -c 'DELETE FROM import_error'", {"DAG files"}),
        ("printf '#!/bin/sh\\nexec /bin/date -d \"2 minutes\" \"$@\"\\n' > /usr/local/bin/date"
         " && chmod 755 /usr/local/bin/date", "rm /usr/local/bin/date", {"clock"}),
        ("rabbitmqctl -q stop_app </dev/null", "rabbitmqctl -q start_app </dev/null",
         {"servers in reach", "Celery worker", "broker", *TASK}),
    ],
)  # fmt: skip
def test_verifying_tells_what_is_broken_and_nothing_else(
    stack: Stack, broken: str, mended: str, wrong: set[str]
) -> None:
    address = stack.host.address
    stack.host.ssh(broken)
    seen = verify(stack.deployment)
    stack.host.ssh(mended)
    assert stack.deployment.run().changed == []  # waits for what was stopped
    expected = {check.replace("HOST", address) for check in wrong}
    if "broker" in wrong:  # 1.8's scheduler ends, and starts anew, when it has a task to send
        expected |= seen.wrong & {"scheduler"}
    assert seen.wrong == expected, seen.rows


def test_verifying_a_stack_that_works_finds_nothing(stack: Stack) -> None:
    seen = verify(stack.deployment)
    assert seen.wrong == set()
    assert seen.rows["task on " + stack.host.address, stack.host.address][1].startswith("success")
    assert stack.deployment.dry().planned == []


def test_old_runs_and_logs_go_at_night_where_that_is_asked_for(stack: Stack) -> None:
    dag = "example_three_tasks"
    for _ in range(2):
        assert stack.airflow.run(dag) == "success"
    check_nightly(stack.deployment, stack.host, dag, date="execution_date")


def test_a_drained_worker_names_what_still_runs_and_finishes_it(stack: Stack) -> None:
    airflow, state = stack.airflow, "select state from task_instance where dag_id = 'slow'"
    airflow.add_dag("slow", SLOW_DAG)
    airflow.trigger("slow")
    until(lambda: airflow.query(state) == [["running"]], 90, "a running task")
    drain = replace(stack.deployment, deploy="tasks.deploy_drain")
    told = drain.show("-y", airflow_drain_timeout=1)
    assert told.code != 0
    assert "still running: slow sleep" in told.output
    assert stack.deployment.dry().planned == SERVICES[-1:]  # it takes no tasks, as a plan sees
    assert drain.show("-y").code == 0
    assert airflow.query(state) == [["success"]]
    assert stack.deployment.run().changed == SERVICES[-2:]


def test_somebody_else_s_drop_in_is_left_alone_and_named(stack: Stack) -> None:
    file = "/etc/systemd/system/airflow-worker.service.d/nice.conf"
    stack.host.ssh(f"mkdir -p {Path(file).parent} && printf '[Service]\\nNice=5\\n' > {file}")
    stack.host.ssh("systemctl daemon-reload")
    plan, run = stack.deployment.dry(), stack.deployment.run()
    assert (plan.planned, run.changed) == ([], [])
    for said in (plan.output, run.output):
        assert f"airflow-worker.service is also changed by {file}: left alone" in said
    stack.host.ssh(f"test -e {file} && rm -r {Path(file).parent} && systemctl daemon-reload")


def test_a_restart_that_a_broken_run_left_undone_is_made_up_for(stack: Stack) -> None:
    """A run that died after it wrote airflow.cfg leaves the right file and the old processes."""
    stack.host.ssh("touch /var/lib/airflow/airflow.cfg")
    plan = stack.deployment.dry().planned
    units = [f"airflow-{name}.service" for name in ("webserver", "scheduler", "worker")]
    assert [step for step in plan if step.startswith("Services | Run")] == [
        f"Services | Run {unit}" for unit in units
    ]
    assert stack.deployment.run().changed == plan
    assert stack.deployment.dry().planned == []


def test_a_broker_that_is_still_starting_is_waited_for(stack: Stack) -> None:
    starting = (
        "systemctl restart --no-block rabbitmq-server;"
        ' until test "$(systemctl is-active rabbitmq-server)" = activating; do sleep 0.1; done'
    )
    stack.host.ssh(starting)
    plan = stack.deployment.dry()
    stack.host.ssh(starting)
    run = stack.deployment.run()
    assert run.code == 0, run.output
    # The worker, which has lost its connections, may need a start.
    assert not [step for step in plan.planned + run.changed if step.startswith("RabbitMQ")]


def test_the_units_are_what_systemd_understands(stack: Stack) -> None:
    verified = stack.host.ssh("systemd-analyze verify /etc/systemd/system/airflow-*.service")
    assert verified.stdout + verified.stderr == ""


def test_a_second_run_at_the_same_time_is_refused_until_the_first_has_died(stack: Stack) -> None:
    stack.host.ssh("touch /var/lib/airflow/airflow.cfg")  # three restarts, to keep a run busy
    first = stack.deployment.start()
    assert first.stdout
    for line in first.stdout:
        if "Starting operation: System" in line:
            break
    second = stack.deployment.show("-y")
    assert second.code != 0
    me = f"{getpass.getuser()}@{socket.gethostname()}, process {first.pid}"
    assert f"another run holds this host: {me}" in second.output
    first.kill()
    first.wait()
    assert stack.deployment.run().code == 0
    assert stack.deployment.dry().planned == []


def test_from_a_second_host_only_ssh_and_the_web_ui_can_be_reached(
    network: Network, stack: Stack
) -> None:
    outsider = network.host("outsider", distribution="bullseye")
    probe = (
        "for port in 22 4369 5432 5555 5672 8080 8793 15672 25672; do"
        f' timeout 2 bash -c "</dev/tcp/{stack.host.address}/$port" 2>/dev/null && echo $port;'
        " done; true"
    )
    assert outsider.ssh(probe).stdout.split() == ["22", "8080"]
    listening = stack.host.ssh("ss -Hltn").stdout.split("\n")
    ports = {line.split()[3] for line in listening if line}
    everywhere = {port for port in ports if not port.startswith(("127.", "[::1]"))}
    assert everywhere == {"0.0.0.0:22", "[::]:22", "0.0.0.0:8080"}


def test_the_broker_lets_no_guest_in(stack: Stack) -> None:
    guest = stack.host.ssh("rabbitmqctl authenticate_user guest guest </dev/null", check=False)
    assert guest.returncode != 0
    assert "failed to authenticate" in guest.stdout + guest.stderr


def test_the_host_comes_up_again_by_itself(stack: Stack) -> None:
    stack.host.restart()
    airflow = stack.airflow
    date = airflow.trigger("example_three_tasks")
    assert airflow.finish("example_three_tasks", date) == "success"
    assert stack.deployment.dry().planned == []


def test_no_secret_is_shown_or_readable_by_others(stack: Stack) -> None:
    secrets = json.loads(Path(stack.deployment.data["airflow_secrets_file"]).read_text())
    stack.host.ssh("rm /etc/airflow/secrets.env")
    shown = stack.deployment.show("--dry", "--diff", "-vvv").output
    shown += stack.deployment.show("-y", "--diff", "-vvv").output
    shown += stack.host.ssh(
        "find /etc /opt /usr/local /tmp /run -perm -004 -type f -exec cat {} +"
        " 2>/dev/null; ps -ef; systemctl show 'airflow-*'"
    ).stdout
    assert [name for name, value in secrets.items() if value in shown] == []
