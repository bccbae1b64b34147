"""Today's releases, all on one host: `pyinfra inventories/single.py deploy.py`."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver.common.by import By

from tasks.settings.secrets import GENERATORS
from tests.support import logins, objects
from tests.support.browser import chromium, log_in, shows
from tests.support.cli import ROOT, Deployment, Run, sudo_user
from tests.support.deliveries import (
    check_broken_files,
    check_many_files,
    check_no_repository,
    check_plugins,
    check_repository,
)
from tests.support.hosts import Host, Network
from tests.support.monitoring import Bucket, Prometheus, bucket, comes_back, dashboard, health
from tests.support.receivers import Receivers
from tests.support.reports import check_task_reports, check_unit_reports
from tests.support.rest import Airflow
from tests.support.verify import verify
from tests.support.waiting import until
from tests.support.watch import shown, watched

pytestmark = pytest.mark.docker

DAGS = Path(__file__).parent / "dags"
# Characters that a URL, a shell and a configuration file each read as their own.
AWKWARD = "p@ss/w:rd%2F$HOME'\"`\\ #?&"
SUDO_PASSWORD = "let-me-in"
# Remote commands of a run on a host that is as it should be; test_killed has those of a plain one.
POOLED_COMMANDS = 10
# Those of the host that also tells how it is: its exporters and its firewall.
MONITORED_COMMANDS = 12
# The case on which what all releases share is tried, with everything that watches it; the other
# one has PgBouncer.
NEWEST = ("3.3.2", "bookworm")
# test_upgrade has 2.11.2 as well, and Debian 13.
CASES = [NEWEST, pytest.param(("2.11.2", "bookworm"), marks=pytest.mark.sweep)]


def _named(case: tuple[str, str]) -> str:
    return f"{case[0]} on {case[1]}"


newest = pytest.mark.parametrize("stack", [NEWEST], ids=_named, indirect=True)


@dataclass
class Stack:
    """A deployed host."""

    host: Host
    deployment: Deployment
    run: Run
    airflow: Airflow
    secrets: dict[str, str]
    prometheus: Prometheus | None
    """What scrapes it, where it is monitored."""
    bucket: Bucket
    """Where its tasks' logs are copied to, where it is monitored."""
    seen: str
    """What a stranger on the host could see while it was deployed."""
    objects: dict[str, Any]
    """Settings of the objects in code that the first run was given, and no later one."""


@pytest.fixture(scope="module", params=CASES, ids=_named)
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
    monitored = request.param == NEWEST
    prometheus = (
        Prometheus(network.host("prometheus", distribution="bookworm")) if monitored else None
    )
    pooled = secrets.with_name("pooled.py")
    pooled.write_text((ROOT / "inventories/single.py").read_text() + "pgbouncer = [host]\n")
    deployment = Deployment(
        "inventories/monitored.py" if monitored else str(pooled),
        {
            **user,
            "airflow_secrets_file": str(secrets),
            "airflow_extras": ["amazon", "google-auth", "ldap"],
            **receivers.settings,
        },
        environment={
            "AIRFLOW_HOST": host.address,
            "AIRFLOW_VERSION": release,
            "POSTGRESQL_PASSWORD": AWKWARD,
            "PROMETHEUS": prometheus.host.address if prometheus else "",
        },
    )
    declared = objects.declared(secrets.parent, roles=True)
    with watched(host) as seen:
        run = deployment.show("-y", "-vvv", "--diff", **declared)
    assert run.code == 0, run.output
    known = json.loads(secrets.read_text()) | {"postgresql_password": AWKWARD}
    airflow = Airflow(host.address, known["airflow_admin_password"], release)
    with bucket(network) as storage:
        if monitored:
            storage.connect(host)
        yield Stack(host, deployment, run, airflow, known, prometheus, storage, seen.text, declared)
    network.drop(host)
    if prometheus:
        network.drop(prometheus.host)


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


@newest
def test_a_unit_that_dies_is_reported_once(stack: Stack, receivers: Receivers) -> None:
    check_unit_reports(receivers, stack.host, "airflow-triggerer")


def test_objects_in_code_are_there_after_the_first_run(stack: Stack) -> None:
    objects.check(stack.host)
    airflow = stack.airflow
    ann = airflow.session(objects.SECRETS["login"], "ann")
    assert ann.get(f"{airflow.api}/dags", timeout=60).ok
    assert ann.get(f"{airflow.api}/connections", timeout=60).status_code == 403
    wrong = airflow.session("wrong", "ann")
    assert wrong.get(f"{airflow.api}/dags", timeout=60).status_code in (401, 403)
    assert stack.deployment.dry(**stack.objects).planned == []


def test_objects_changed_by_hand_are_mended_and_named(stack: Stack) -> None:
    objects.sql(stack.host, objects.DRIFT + objects.ROLE_DRIFT)
    plan = stack.deployment.dry(**stack.objects)
    run = stack.deployment.show("-y", "--diff", **stack.objects)
    assert (plan.planned, run.code) == (objects.STEPS, 0)
    for sentence in (
        "Will change roles: Analyst",
        "Will change users: ann",
        "Will change pools: wide",
        "Will change connections: lake, mart",
        "Will add variables: limits",
    ):
        assert sentence in run.output
    assert shown(objects.SECRETS, run.output) == []
    objects.check(stack.host)
    ann = stack.airflow.session(objects.SECRETS["login"], "ann")
    assert ann.get(f"{stack.airflow.api}/dags", timeout=60).ok
    assert stack.deployment.run(**stack.objects).changed == []


def test_what_is_not_declared_goes_only_when_that_is_asked_for(stack: Stack) -> None:
    airflow = stack.airflow
    airflow.call("POST", "variables", key="mine", value="1")
    airflow.call("POST", "pools", name="mine", slots=1)
    assert stack.deployment.dry(**stack.objects).planned == []
    less = {
        **stack.objects,
        "airflow_users": {},
        "airflow_remove_objects": "users,pools,variables",
    }
    steps = [objects.STEPS[n] for n in (1, 2, 4)]
    plan, run = stack.deployment.dry(**less), stack.deployment.run(**less)
    assert (plan.planned, run.changed) == (steps, steps)
    assert stack.deployment.dry(**less).planned == []
    assert objects.sql(stack.host, "SELECT username FROM ab_user") == [["admin"]]
    assert ["default_pool"] in objects.sql(stack.host, "SELECT pool FROM slot_pool")
    objects.check(stack.host)


def test_a_permission_that_airflow_does_not_know_is_told(stack: Stack) -> None:
    run = stack.deployment.show("-y", airflow_roles={"Analyst": ["can_raed on DAGs"]})
    assert run.code != 0
    assert (
        "Airflow has no permission can raed on DAGs: did you mean can read on DAGs?" in run.output
    )


@newest
def test_a_person_of_an_ldap_directory_logs_in(stack: Stack, tmp_path: Path) -> None:
    assert stack.prometheus
    file = tmp_path / "webserver_config.py"
    file.write_text(logins.ldap(stack.prometheus.host))
    run = stack.deployment.run(airflow_webserver_config=str(file))
    assert run.code == 0, run.output
    dags = f"{stack.airflow.api}/dags"
    wrong = stack.airflow.session("wrong", logins.PERSON)
    assert wrong.get(dags, timeout=60).status_code in (401, 403)
    lena = stack.airflow.session(logins.PASSWORD, logins.PERSON)
    assert lena.get(dags, timeout=60).ok
    assert lena.get(f"{stack.airflow.api}/connections", timeout=60).status_code == 403
    with chromium() as browser:
        log_in(browser, stack.airflow.url, logins.PASSWORD, user=logins.PERSON)
    assert stack.airflow.session().get(dags, timeout=60).ok  # the administrator's own password
    stored = f"SELECT password FROM ab_user WHERE email = '{logins.EMAIL}'"
    assert logins.PASSWORD not in str(objects.sql(stack.host, stored))


def test_a_webserver_config_goes_live_and_a_broken_one_nowhere(
    stack: Stack, network: Network, tmp_path: Path
) -> None:
    path = "/var/lib/airflow/webserver_config.py"
    theirs = stack.host.ssh(f"cat {path}", check=False).stdout
    file = tmp_path / "webserver_config.py"
    setting = {"airflow_webserver_config": str(file)}
    file.write_text(f"# One.\n# Two.\nCLIENT_SECRET = '{logins.SECRET}\n")
    broken = stack.deployment.show("-y", **setting)
    assert broken.code != 0
    assert "airflow_webserver_config: line 3: unterminated" in broken.output
    assert logins.SECRET not in broken.output
    assert stack.host.ssh(f"cat {path}", check=False).stdout == theirs
    url, modern = stack.airflow.url, stack.airflow.modern
    steps = [
        f"Airflow | Write {path}",
        f"Services | Run airflow-{'api-server' if modern else 'webserver'}.service",
        f"Services | Wait until the {'API server' if modern else 'web server'} works",
    ]
    with logins.openid(network) as text, chromium() as browser:
        file.write_text(text)
        plan = stack.deployment.dry(**setting)
        with watched(stack.host) as seen:
            run = stack.deployment.show("-y", "-vvv", "--diff", **setting)
        assert (plan.planned, run.code) == (steps, 0)
        assert logins.SECRET not in seen.text + run.output
        assert stack.deployment.dry(**setting).planned == []
        assert stack.host.ssh(f"stat -c '%U:%G %a' {path}").stdout == "root:airflow 640\n"
        browser.get(f"{url}{'/auth' if modern else ''}/login/okta")
        browser.find_element(By.CSS_SELECTOR, f"button[value={logins.PERSON}]").click()
        back = re.compile(f"{url}(?!.*oauth-authorized)")
        until(lambda: back.match(browser.current_url), 60, "the way back from the provider")
        browser.get(f"{url}/{'dags' if modern else 'home'}")
        assert shows(browser, "example_three_tasks")
    found = "SELECT email, first_name FROM ab_user WHERE username = 'okta_lena'"
    assert objects.sql(stack.host, found) == [[logins.OPENID_EMAIL, "Lena"]]
    assert stack.airflow.session().get(f"{stack.airflow.api}/dags", timeout=60).ok
    assert stack.deployment.dry().planned == []  # without the setting it stays as it is


def test_no_secret_was_seen_while_the_host_was_deployed(stack: Stack) -> None:
    secrets = {name: stack.secrets[name] for name in GENERATORS} | objects.SECRETS
    assert "airflow_probe.py" in stack.seen
    assert "airflow_objects.py" in stack.seen
    assert shown(secrets, stack.seen) == []
    assert "/etc/airflow/secrets.env" in stack.run.output
    assert shown(secrets, stack.run.output) == []


@newest
def test_no_option_and_no_failure_shows_a_secret(stack: Stack) -> None:
    secrets = {name: stack.secrets[name] for name in GENERATORS}
    given = secrets | stack.objects
    secrets |= objects.SECRETS
    show = stack.deployment.show
    said = [
        show("--dry", "--json", "-vvv", **stack.objects).output,
        show("--dry", "--debug-all", "-vvv", "--diff", **stack.objects).output,
        show("--debug-operations", "--json", **stack.objects).output,
        replace(stack.deployment, deploy="debug-inventory").show(**given).output,
    ]
    stack.host.ssh("mv /usr/bin/psql /usr/bin/psql.away")
    failed = show("-y", "-vvv", "--diff")
    stack.host.ssh("mv /usr/bin/psql.away /usr/bin/psql")
    assert failed.code != 0
    assert all("System | Create the user airflow" in text for text in said[:3])
    assert "postgresql_password" in said[3]
    assert [shown(secrets, text) for text in (*said, failed.output)] == [[]] * 5
    assert stack.deployment.run().code == 0


@newest
def test_a_wrong_sudo_password_ends_the_run(stack: Stack) -> None:
    run = stack.deployment.show("-y", _sudo_password="wrong")
    assert run.code != 0
    assert "incorrect password attempts" in run.output
    assert "Starting operation" not in run.output


def test_a_wrong_password_is_refused(stack: Stack) -> None:
    answer = stack.airflow.session("wrong").get(f"{stack.airflow.api}/dags", timeout=60)
    assert answer.status_code in (401, 403)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            "UPDATE ab_user SET password = 'x', email = 'x', active = false"
            " WHERE username = 'admin'",
            "active, e-mail, password",
        ),
        ("DELETE FROM ab_user_role", "role"),
    ],
)
def test_a_broken_login_is_mended(stack: Stack, broken: str, said: str) -> None:
    psql = "cd / && runuser -u postgres -- psql airflow"
    stack.host.ssh(psql, input=broken)
    mended = ["Database | Change the login admin"]
    assert f"login admin: {said}\n" in stack.deployment.show("--dry").output
    plan, run = stack.deployment.dry(), stack.deployment.run()
    assert (plan.planned, run.changed, stack.deployment.dry().planned) == (mended, mended, [])
    assert stack.airflow.session().get(f"{stack.airflow.api}/dags", timeout=60).ok


@newest
def test_thousands_of_files_take_as_many_commands_as_one(stack: Stack, tmp_path: Path) -> None:
    check_many_files(stack.deployment, stack.host, tmp_path)


@newest
def test_dag_files_that_do_not_import_are_told_or_refused(stack: Stack, tmp_path: Path) -> None:
    check_broken_files(stack.deployment, stack.host, tmp_path)


@newest
def test_dags_come_from_a_private_repository(stack: Stack) -> None:
    check_repository(stack.deployment, stack.host, stack.airflow)
    check_no_repository(stack.deployment, stack.host)


@newest
def test_a_changed_plugin_restarts_the_services(stack: Stack, tmp_path: Path) -> None:
    check_plugins(stack.deployment, stack.host, tmp_path)


def test_the_next_plan_is_empty_and_nothing_but_the_ui_listens(stack: Stack) -> None:
    assert stack.deployment.dry().planned == []
    sockets = stack.host.ssh("ss -Hltn").stdout.splitlines()
    everywhere = {line.split()[3] for line in sockets}
    opened = {port for port in everywhere if not port.startswith(("127.", "[::1]"))}
    metrics = {f"{stack.host.address}:{port}" for port in (9103, 9187, 15692)}
    more = {"0.0.0.0:8081", *metrics} if stack.prometheus else set()
    assert opened == {"0.0.0.0:22", "[::]:22", "0.0.0.0:8080", *more}


def test_a_run_that_changes_nothing_sends_few_commands(stack: Stack) -> None:
    """Each costs a round trip, whatever the machine: a greater number is a slower run."""
    most = MONITORED_COMMANDS if stack.prometheus else POOLED_COMMANDS
    assert stack.deployment.show("-y", "-vv").commands <= most


def test_verifying_runs_a_task_on_the_worker_and_reads_its_log(stack: Stack) -> None:
    assert verify(stack.deployment).wrong == set()


@newest
def test_prometheus_scrapes_everything_and_no_stranger_does(stack: Stack) -> None:
    prometheus = stack.prometheus
    assert prometheus
    prometheus.start(stack.host.address)
    everything = {"airflow": "up", "postgresql": "up", "rabbitmq": "up"}
    until(lambda: prometheus.targets() == everything, 90, "every target is up")
    query = 'airflow_task_finish_total{dag_id="failing", task_id="fail", state="failed"}'
    assert stack.airflow.run("failing")[1] == "failed"
    until(lambda: prometheus.value(query), 60, "the failed task in Prometheus")
    until(lambda: prometheus.value("rate(airflow_scheduler_heartbeat_total[1m])"), 60, "heartbeats")
    assert prometheus.value("pg_up") == 1
    alert = 'ALERTS{alertname="TasksFail", dag_id="failing"}'
    until(lambda: prometheus.value(alert), 90, "the alert about the failed task")
    empty = [query for query in dashboard() if prometheus.value(query) is None]
    assert (len(dashboard()), empty) == (12, [])
    prometheus.host.ssh("promtool check config /etc/prometheus/prometheus.yml")
    for port in (9103, 9187, 15692):  # this machine is a stranger
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{stack.host.address}:{port}/metrics", timeout=5)


@newest
def test_load_balancers_are_told_when_a_component_is_away(stack: Stack) -> None:
    code, words = health(stack.host)
    names = {"api-server", "scheduler", "triggerer", "dag-processor", "worker"}
    assert (code, words) == (200, dict.fromkeys(names, "ok"))
    stack.host.ssh("systemctl stop airflow-worker")
    until(lambda: health(stack.host)[0] == 503, 30, "the worker is missed")
    assert health(stack.host)[1]["worker"] == "fails"
    assert stack.deployment.run().changed[:1] == ["Services | Run airflow-worker.service"]
    comes_back(stack.host)


@newest
def test_another_program_at_the_web_port_is_not_taken_for_airflow(stack: Stack) -> None:
    program = "systemd-run -q -u another -p User=nobody python3 -m http.server 8080"
    stack.host.ssh(f"systemctl stop airflow-api-server; {program}")
    try:
        stack.host.ssh("systemctl start airflow-api-server")
        until(lambda: health(stack.host)[0] == 503, 30, "the API server is missed")
        mark, saw = verify(stack.deployment).rows["API server", stack.host.address]
        reason = "port 8080 is answered by another program (of user nobody)"
        assert (mark, saw) == ("FAIL", f"does not work ({reason})")
    finally:
        stack.host.ssh("systemctl stop another")
    comes_back(stack.host)


@newest
def test_logs_are_read_from_the_bucket(stack: Stack) -> None:
    run, state = stack.airflow.run("example_three_tasks")
    assert state == "success"
    mine = f"run_id={run}/task_id=transform/"
    until(lambda: any(mine in key for key in stack.bucket.objects()), 60, "the log in the bucket")
    stack.host.ssh("rm -r /var/log/airflow/dag_id=example_three_tasks")
    log = stack.airflow.log("example_three_tasks", run, "transform")
    assert "s3://airflow/logs/dag_id=example_three_tasks" in log
    assert "celery" in log


@newest
def test_the_journal_is_bounded(stack: Stack) -> None:
    said = stack.host.ssh("journalctl -u systemd-journald -o cat | grep 'max ' | tail -n 1").stdout
    assert "max 512.0M" in said


@newest
def test_the_host_comes_up_again_by_itself(stack: Stack) -> None:
    stack.host.restart()
    assert stack.airflow.run("example_three_tasks")[1] == "success"
    assert stack.deployment.dry().planned == []
