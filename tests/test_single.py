"""Today's releases, all on one host: `pyinfra inventories/single.py deploy.py`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tasks.secrets import GENERATORS
from tests.cli import Deployment, Run, sudo_user
from tests.deliveries import (
    check_broken_files,
    check_many_files,
    check_no_repository,
    check_plugins,
    check_repository,
)
from tests.hosts import Host, Network
from tests.receivers import Receivers
from tests.reports import check_task_reports, check_unit_reports
from tests.rest import Airflow
from tests.verify import verify
from tests.watch import shown, watched

pytestmark = pytest.mark.docker

DAGS = Path(__file__).parent / "dags"
# Characters that a URL, a shell and a configuration file each read as their own.
AWKWARD = "p@ss/w:rd%2F$HOME'\"`\\ #?&"
SUDO_PASSWORD = "let-me-in"
# Remote commands of a run on a host that is as it should be; one more holds the host.
COMMANDS = 24
CASES = [("3.3.2", "bookworm"), ("3.3.2", "trixie"), ("2.11.2", "bookworm")]


@dataclass
class Stack:
    """A deployed host."""

    host: Host
    deployment: Deployment
    run: Run
    airflow: Airflow
    secrets: dict[str, str]
    seen: str
    """What a stranger on the host could see while it was deployed."""


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]} on {case[1]}")
def stack(
    request: pytest.FixtureRequest,
    network: Network,
    receivers: Receivers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    release, distribution = request.param
    secrets = tmp_path_factory.mktemp("secrets") / "secrets.json"
    host = network.host(f"single-{distribution}-{release[0]}", distribution=distribution)
    user = sudo_user(host, SUDO_PASSWORD)
    deployment = Deployment(
        "inventories/single.py",
        {**user, "airflow_secrets_file": str(secrets), **receivers.settings},
        environment={
            "AIRFLOW_HOST": host.address,
            "AIRFLOW_VERSION": release,
            "POSTGRESQL_PASSWORD": AWKWARD,
        },
    )
    with watched(host) as seen:
        run = deployment.show("-y", "-vvv", "--diff")
    assert run.code == 0, run.output
    known = json.loads(secrets.read_text()) | {"postgresql_password": AWKWARD}
    airflow = Airflow(host.address, known["airflow_admin_password"], release)
    yield Stack(host, deployment, run, airflow, known, seen.text)
    network.drop(host)


@pytest.fixture
def newest(stack: Stack) -> Stack:
    """Give the stack on which what all releases share is tried."""
    if stack.airflow.release != "3.3.2" or "bookworm" not in stack.host.container.name:
        pytest.skip("tried on one release")
    return stack


def test_three_tasks_succeed_and_a_failing_one_tells_why(stack: Stack) -> None:
    for file in DAGS.glob("failing.py"):
        path = f"/var/lib/airflow/dags/{file.name}"
        stack.host.ssh(f"cat > {path} && chmod 644 {path}", input=file.read_text())
    airflow = stack.airflow
    run, state = airflow.run("example_three_tasks")
    assert state == "success"
    assert {task["state"] for task in airflow.tasks("example_three_tasks", run).values()} == {
        "success"
    }
    assert "celery" in airflow.log("example_three_tasks", run, "transform")
    run, state = airflow.run("failing")
    assert state == "failed"
    log = airflow.log("failing", run, "fail")
    assert "the reason that a person looks for" in log
    assert "RuntimeError" in log


def test_failures_are_reported_once_an_hour_with_a_count(
    stack: Stack, receivers: Receivers
) -> None:
    check_task_reports(receivers, stack.host, lambda: stack.airflow.run("failing"))


def test_a_unit_that_dies_is_reported_once(stack: Stack, receivers: Receivers) -> None:
    check_unit_reports(receivers, stack.host, "airflow-triggerer")


def test_no_secret_was_seen_while_the_host_was_deployed(stack: Stack) -> None:
    secrets = {name: stack.secrets[name] for name in GENERATORS}
    assert "airflow_probe.py" in stack.seen
    assert shown(secrets, stack.seen) == []
    assert "/etc/airflow/secrets.env" in stack.run.output
    assert shown(secrets, stack.run.output) == []


def test_no_option_and_no_failure_shows_a_secret(stack: Stack) -> None:
    secrets = {name: stack.secrets[name] for name in GENERATORS}
    show = stack.deployment.show
    said = [
        show("--dry", "--json", "-vvv").output,
        show("--dry", "--debug-all", "-vvv", "--diff").output,
        show("--debug-operations", "--json").output,
        replace(stack.deployment, deploy="debug-inventory").show(**secrets).output,
    ]
    stack.host.ssh("mv /usr/bin/psql /usr/bin/psql.away")
    failed = show("-y", "-vvv", "--diff")
    stack.host.ssh("mv /usr/bin/psql.away /usr/bin/psql")
    assert failed.code != 0
    assert all("System | Create the user airflow" in text for text in said[:3])
    assert "postgresql_password" in said[3]
    assert [shown(secrets, text) for text in (*said, failed.output)] == [[]] * 5
    assert stack.deployment.run().code == 0


def test_a_wrong_sudo_password_ends_the_run(stack: Stack) -> None:
    run = stack.deployment.show("-y", _sudo_password="wrong")
    assert run.code != 0
    assert "incorrect password attempts" in run.output
    assert "Starting operation" not in run.output


def test_a_wrong_password_is_refused(stack: Stack) -> None:
    answer = stack.airflow.session("wrong").get(f"{stack.airflow.api}/dags", timeout=60)
    assert answer.status_code in (401, 403)


@pytest.mark.parametrize(
    "broken",
    ["UPDATE ab_user SET password = 'x', email = 'x', active = false", "DELETE FROM ab_user_role"],
)
def test_a_broken_login_is_mended(stack: Stack, broken: str) -> None:
    psql = "cd / && runuser -u postgres -- psql airflow"
    stack.host.ssh(psql, input=broken)
    mended = ["Database | Create the login admin"]
    plan, run = stack.deployment.dry(), stack.deployment.run()
    assert (plan.planned, run.changed, stack.deployment.dry().planned) == (mended, mended, [])
    assert stack.airflow.session().get(f"{stack.airflow.api}/dags", timeout=60).ok


def test_thousands_of_files_take_as_many_commands_as_one(newest: Stack, tmp_path: Path) -> None:
    check_many_files(newest.deployment, newest.host, tmp_path)


def test_dag_files_that_do_not_import_are_told_or_refused(newest: Stack, tmp_path: Path) -> None:
    check_broken_files(newest.deployment, newest.host, tmp_path)


def test_dags_come_from_a_private_repository(newest: Stack) -> None:
    check_repository(newest.deployment, newest.host, newest.airflow)
    check_no_repository(newest.deployment, newest.host)


def test_a_changed_plugin_restarts_the_services(newest: Stack, tmp_path: Path) -> None:
    check_plugins(newest.deployment, newest.host, tmp_path)


def test_the_next_plan_is_empty_and_nothing_but_the_ui_listens(stack: Stack) -> None:
    assert stack.deployment.dry().planned == []
    sockets = stack.host.ssh("ss -Hltn").stdout.splitlines()
    everywhere = {line.split()[3] for line in sockets}
    opened = {port for port in everywhere if not port.startswith(("127.", "[::1]"))}
    assert opened == {"0.0.0.0:22", "[::]:22", "0.0.0.0:8080"}


def test_a_run_that_changes_nothing_sends_few_commands(stack: Stack) -> None:
    """Each costs a round trip, whatever the machine: a greater number is a slower run."""
    run = stack.deployment.show("-y", "-vv")
    assert run.code == 0, run.output
    commands = [line for line in run.output.splitlines() if ">>> " in line]
    assert len(commands) <= COMMANDS


def test_verifying_runs_a_task_on_the_worker_and_reads_its_log(stack: Stack) -> None:
    assert verify(stack.deployment).wrong == set()


def test_the_host_comes_up_again_by_itself(stack: Stack) -> None:
    stack.host.restart()
    assert stack.airflow.run("example_three_tasks")[1] == "success"
    assert stack.deployment.dry().planned == []
