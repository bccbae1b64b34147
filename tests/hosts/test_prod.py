"""Today's Airflow over five hosts: `pyinfra inventories/prod.py deploy.py`."""

import json
import operator
import re
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests

from tasks.settings import certificates
from tests.support.browser import chromium, log_in, shows
from tests.support.cli import ROOT, Deployment, Run, sudo_users
from tests.support.hosts import Host, Network
from tests.support.monitoring import metrics
from tests.support.rest import Airflow
from tests.support.verify import verify
from tests.support.waiting import until

pytestmark = pytest.mark.docker

NAMES = ("data1", "web1", "scheduler1", "worker1", "worker2")
AIRFLOW = set(NAMES[1:])
EVERYBODY = {*NAMES, "this machine"}
DISTRIBUTION = "bookworm"


@dataclass
class Stack:
    """The deployed hosts."""

    hosts: dict[str, Host]
    inventory: Path
    deployment: Deployment
    airflow: Airflow
    fresh_plan: Run
    first_run: Run

    @property
    def secrets(self) -> dict[str, str]:
        """What was generated, beside the inventory."""
        file = self.inventory.parent / ".secrets/prod.json"
        return json.loads(file.read_text())

    def started(self) -> dict[str, list[str]]:
        """Give when each service of each host was started."""
        ask = (
            "systemctl show -p Id -p ActiveEnterTimestampMonotonic airflow-api-server"
            " airflow-scheduler airflow-dag-processor airflow-triggerer airflow-worker"
            " 'postgresql@*' pgbouncer rabbitmq-server nginx"
        )
        return {name: host.ssh(ask).stdout.split() for name, host in self.hosts.items()}


@pytest.fixture(scope="module")
def stack(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("prod")
    dags = shutil.copytree(ROOT / "tests/hosts/dags", folder / "dags")
    shutil.copy(ROOT / "files/dags/example_three_tasks.py", dags)
    hosts = {name: network.host(name, distribution=DISTRIBUTION) for name in NAMES}
    inventory = folder / "prod.py"
    text = (ROOT / "inventories/prod.py").read_text() + 'statsd_exporter = ["scheduler1"]\n'
    for name, host in hosts.items():
        text = re.sub(rf'\("{name}", {{"ssh_hostname": "[^"]+"', _entry(name, host), text)
    inventory.write_text(text)
    data = {"airflow_dags": str(dags), "airflow_report_command": "cat >> $AIRFLOW_HOME/reported"}
    deployment = Deployment(str(inventory), sudo_users(hosts, folder) | data)
    plan, run = deployment.dry(), deployment.run()
    assert run.code == 0, run.output
    stack = Stack(hosts, inventory, deployment, None, plan, run)  # type: ignore[arg-type]
    password = stack.secrets["airflow_admin_password"]
    certificate = folder / "certificate.pem"
    shutil.copy(folder / ".secrets/prod-tls/ca.crt", certificate)
    web = hosts["web1"].address
    stack.airflow = Airflow(web, password, "3.3.2", certificate=certificate)
    yield stack
    for host in stack.hosts.values():
        network.drop(host)


def _entry(name: str, host: Host) -> str:
    return f'("{name}", {{"ssh_hostname": "{host.address}"'


def test_the_first_run_does_what_the_plan_of_five_bare_hosts_announced(stack: Stack) -> None:
    assert stack.fresh_plan.planned == stack.first_run.changed


def test_tasks_run_on_the_workers_of_their_queues_and_their_logs_are_readable(
    stack: Stack,
) -> None:
    run, state = stack.airflow.run("two_queues")
    assert state == "success"
    tasks = stack.airflow.tasks("two_queues", run)
    assert {name: task["hostname"] for name, task in tasks.items()} == {
        "default": "worker1",
        "reports": "worker2",
    }
    assert "on worker1" in stack.airflow.log("two_queues", run, "default")
    assert "on worker2" in stack.airflow.log("two_queues", run, "reports")


def test_a_dag_that_fails_on_two_workers_is_reported_once(stack: Stack) -> None:
    _, state = stack.airflow.run("failing_twice")
    assert state == "failed"
    held = "SELECT held FROM airflow_reports WHERE subject = 'DAG failing_twice'"
    psql = "cd / && runuser -u postgres -- psql airflow_results -XAt"
    until(lambda: stack.hosts["data1"].ssh(psql, input=held).stdout == "1\n", 30, "both reports")
    sent = ""
    for worker, queue in (("worker1", "default"), ("worker2", "reports")):
        host = stack.hosts[worker]
        logged = host.ssh("journalctl -q -o cat -t airflow-report").stdout
        assert f"dag=failing_twice task={queue} " in logged
        sent += host.ssh("cat /var/lib/airflow/reported 2>/dev/null || true").stdout
    assert sent.count("dag=failing_twice") == 1


def test_the_second_run_changes_nothing_on_any_host(stack: Stack) -> None:
    assert stack.deployment.dry().planned == []
    before = stack.started()
    run = stack.deployment.run()
    assert (run.code, run.changed) == (0, [])
    assert stack.started() == before


def test_every_connection_of_airflow_is_pooled(stack: Stack) -> None:
    """Migrations and backups alone come to PostgreSQL from another host."""
    data1 = stack.hosts["data1"]
    psql = "cd / && runuser -u postgres -- psql -XAt"
    asked = "SELECT DISTINCT client_addr FROM pg_stat_activity WHERE usename LIKE 'airflow%'"
    assert data1.ssh(psql, input=asked).stdout == "127.0.0.1\n"
    clients = data1.ssh(f"{psql} -p 6432 -U pgbouncer pgbouncer", input="SHOW CLIENTS").stdout
    found = {operator.itemgetter(1, 2, 4)(line.split("|")) for line in clients.splitlines()}
    assert found >= {
        ("airflow", "airflow", stack.hosts["scheduler1"].address),
        ("airflow", "airflow", stack.hosts["web1"].address),
        ("airflow_results", "airflow_results", stack.hosts["worker1"].address),
    }


def test_the_proxy_speaks_tls_alone_and_makes_every_cookie_secure(stack: Stack) -> None:
    airflow, web1 = stack.airflow, stack.hosts["web1"]
    session = airflow.session()
    sent_on = session.get(f"http://{web1.address}/dags?a=b", allow_redirects=False, timeout=30)
    assert (sent_on.status_code, sent_on.headers["Location"]) == (301, f"{airflow.url}/dags?a=b")
    del session.headers["Authorization"]
    page = session.get(f"{airflow.url}/auth/login/", timeout=60)
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    form = {"username": "admin", "password": airflow.password, "csrf_token": token and token[1]}
    headers = {"Referer": page.url}
    entered = session.post(page.url, data=form, headers=headers, timeout=60)
    answers = [page, *entered.history, entered]
    assert all(answer.url.startswith(airflow.url) for answer in answers)
    cookies = [c for answer in answers for c in answer.raw.headers.getlist("Set-Cookie")]
    assert cookies
    assert all("secure" in cookie.lower() for cookie in cookies)
    assert "Strict-Transport-Security" not in page.headers
    assert session.get(f"{airflow.api}/dags", timeout=60).ok
    assert web1.ssh("stat -c '%U %a' /etc/airflow-proxy/key.pem").stdout == "root 600\n"
    listening = web1.ssh("ss -Hltn").stdout
    assert f" {web1.address}:8080 " in listening
    assert "0.0.0.0:8080" not in listening


NEEDED = {
    "data1": {5432: {"scheduler1"}, 5672: AIRFLOW, 6432: AIRFLOW},
    "web1": {80: EVERYBODY, 443: EVERYBODY, 8080: {"worker1", "worker2"}},
    "scheduler1": {8794: {"web1"}},
    "worker1": {8793: {"web1"}},
    "worker2": {8793: {"web1"}},
}


def test_the_firewall_opens_what_the_inventory_needs_and_no_more(stack: Stack) -> None:
    for host in stack.hosts.values():  # something that the inventory does not know
        host.ssh("systemd-run -q --collect python3 -m http.server 9100")
    until(lambda: all(9100 in _listening(host) for host in stack.hosts.values()), 20, "listeners")
    needed = {
        (source, target, port)
        for target in NAMES
        for port, sources in {22: EVERYBODY, **NEEDED[target]}.items()
        for source in sources - {target}
    }
    assert _reached(stack) == needed
    opened = stack.deployment.run(firewall=False)
    assert set(opened.changed) == {
        "Firewall | Write /etc/airflow-firewall.nft",
        "Firewall | Load the rules",
    }
    reached = _reached(stack)
    assert ("this machine", "worker1", 9100) in reached
    assert ("this machine", "data1", 5672) not in reached
    closed = stack.deployment.run(firewall_allow={"9100": stack.hosts["worker1"].address})
    assert set(closed.changed) == {
        "Firewall | Close all other ports, keeping SSH open",
        "Firewall | Load the rules",
    }
    further = {("worker1", target, 9100) for target in NAMES if target != "worker1"}
    assert _reached(stack) == needed | further
    assert stack.deployment.run().code == 0


def _listening(host: Host) -> set[int]:
    sockets = host.ssh("ss -Hltn").stdout.splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in sockets}


def _reached(stack: Stack) -> set[tuple[str, str, int]]:
    """Give (source, target, port) of every connection that can be made between two hosts."""
    ports = {name: _listening(host) for name, host in stack.hosts.items()}
    wanted = [
        (name, host.address, port) for name, host in stack.hosts.items() for port in ports[name]
    ]
    probes = "".join(
        f"(timeout 3 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null && echo {name} {port}) &\n"
        for name, address, port in wanted
    )
    found = set()
    for source, host in stack.hosts.items():
        lines = host.ssh("bash -s", input=f"{probes}wait").stdout.splitlines()
        found |= {(source, line.split()[0], int(line.split()[1])) for line in lines}
    with ThreadPoolExecutor(len(wanted)) as pool:
        answers = pool.map(lambda each: _answers(*each[1:]), wanted)
    found |= {("this machine", n, p) for (n, _, p), yes in zip(wanted, answers, strict=True) if yes}
    return {(source, target, port) for source, target, port in found if source != target}


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=3).close()
    except OSError:
        return False
    return True


def test_the_exporter_takes_metrics_of_every_host_of_airflow_and_of_nobody_else(
    stack: Stack,
) -> None:
    def came() -> set[str]:
        return set(re.findall(r"airflow\.from_(\w+)", metrics(exporter, 9103)))

    exporter = stack.hosts["scheduler1"]
    for name in ("data1", "worker1", "web1"):
        send = f"printf 'airflow.from_{name}:1|c' > /dev/udp/{exporter.address}/8125"
        stack.hosts[name].ssh("bash", input=send)
    until(lambda: len(came()) > 1, 30, "metrics of two hosts")
    assert came() == {"worker1", "web1"}


def test_a_firewall_that_would_shut_this_machine_out_is_taken_back(stack: Stack) -> None:
    see = "nft list table inet pyinfra_airflow; cat /etc/airflow-firewall.nft"
    before = {name: host.ssh(see).stdout for name, host in stack.hosts.items()}
    run = stack.deployment.show("-y", firewall_allow_ssh="192.0.2.0/24")
    assert run.code != 0
    assert "the firewall would lock this machine out" in run.output
    assert {name: host.ssh(see).stdout for name, host in stack.hosts.items()} == before
    timers = "systemctl list-units --all --plain --no-legend 'airflow-firewall-back*'"
    assert {host.ssh(timers).stdout for host in stack.hosts.values()} == {""}
    assert stack.deployment.run().changed == []


def test_a_running_task_outlives_a_change_of_the_configuration(
    stack: Stack, tmp_path: Path
) -> None:
    run = stack.airflow.start("slow")
    until(lambda: set(_states(stack, run).values()) == {"running"}, 60, "two running tasks")
    before = stack.started()
    given = certificates.issued(tmp_path, "given", [stack.hosts["web1"].address])
    files = {"proxy_certificate": given.certificate, "proxy_certificate_key": given.key}
    assert stack.airflow.certificate
    with stack.airflow.certificate.open("a") as trusted:
        trusted.write((tmp_path / "ca.crt").read_text())
    change = {"airflow_config": {"core": {"parallelism": 31}}}
    deployed = stack.deployment.run(**change, **{name: str(path) for name, path in files.items()})
    assert deployed.code == 0, deployed.output
    own = requests.Session()
    own.trust_env = False
    page = own.get(stack.airflow.url, verify=str(tmp_path / "ca.crt"), timeout=60)
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    after = stack.started()
    assert after["web1"][-2:] == before["web1"][-2:]  # nginx has read its files anew
    assert all(after[worker] != before[worker] for worker in ("worker1", "worker2"))
    until(lambda: set(_states(stack, run).values()) == {"success"}, 120, "the end of both tasks")
    assert {task["try_number"] for task in stack.airflow.tasks("slow", run).values()} == {1}
    assert stack.deployment.run().code == 0


def test_a_drained_worker_finishes_its_task_and_takes_no_other(stack: Stack) -> None:
    run = stack.airflow.start("slow")
    until(lambda: set(_states(stack, run).values()) == {"running"}, 60, "two running tasks")
    drain = replace(stack.deployment, deploy="tasks.deploy_drain")
    told = drain.show("-y", "--limit", "worker2", airflow_drain_timeout=3)
    assert told.code != 0
    assert "still running: slow reports" in told.output
    second = stack.airflow.start("two_queues")
    drained = drain.show("-y", "--limit", "worker2")
    assert drained.code == 0, drained.output
    assert _states(stack, run)["reports"] == "success"
    active = stack.hosts["worker2"].ssh("systemctl is-active airflow-worker", check=False)
    assert active.stdout.strip() == "inactive"
    # A task's state is known without its worker; for its log the web UI says whom it has asked.
    assert "host='worker2', port=8793" in stack.airflow.log("slow", run, "reports")
    until(lambda: set(_states(stack, run).values()) == {"success"}, 90, "the other task too")
    assert stack.airflow.tasks("two_queues", second)["reports"]["state"] == "queued"
    assert drain.show("-y", "--limit", "worker2").code == 0
    assert stack.deployment.run().changed == [
        "Services | Run airflow-worker.service",
        "Services | Wait until the Celery worker works",
    ]
    until(
        lambda: stack.airflow.tasks("two_queues", second)["reports"]["state"] == "success",
        60,
        "the task that waited",
    )


def _states(stack: Stack, run: str) -> dict[str, str]:
    return {name: task["state"] for name, task in stack.airflow.tasks("slow", run).items()}


def test_a_worker_has_no_way_to_the_metadata_database(stack: Stack) -> None:
    found = stack.hosts["worker1"].ssh("cat /etc/airflow/secrets.env").stdout
    secrets = stack.secrets
    for name in ("postgresql_password", "airflow_fernet_key", "airflow_jwt_secret"):
        assert secrets[name] not in found
    assert secrets["postgresql_results_password"] in found
    assert _psql(stack, stack.hosts["worker1"], "airflow_results", "results_") == ""
    for database in ("airflow", "postgres"):
        assert "login rejected" in _psql(stack, stack.hosts["worker1"], database, "results_")
    for database, part in (("airflow", ""), ("airflow_results", "results_")):
        refused = _psql(stack, stack.hosts["worker1"], database, part, 5432)
        assert "Connection refused" in refused
    address = stack.hosts["data1"].address
    bare = f"psql -w -h {address} -p 6432 -U airflow_results airflow_results -c ''"
    assert "no password supplied" in stack.hosts["worker1"].ssh(bare, check=False).stderr


def test_a_stranger_can_use_neither_the_database_nor_the_broker(
    network: Network, stack: Stack
) -> None:
    stranger = network.host("stranger", distribution=DISTRIBUTION)
    for database, part in (("airflow", ""), ("airflow_results", "results_")):
        for port in (5432, 6432):
            assert "Connection refused" in _psql(stack, stranger, database, part, port)
    data1, worker1 = stack.hosts["data1"], stack.hosts["worker1"]
    assert "refused" in _amqp(worker=worker1, frm=stranger, to=data1, password="any")
    assert "refused" in _amqp(worker1, stranger, data1, stack.secrets["rabbitmq_password"])
    assert _amqp(worker1, worker1, data1, stack.secrets["rabbitmq_password"]) == "connected"
    assert "ACCESS_REFUSED" in _amqp(worker1, worker1, data1, "wrong")
    log = f"timeout 3 bash -c '</dev/tcp/{worker1.address}/8793'"
    assert "refused" in stranger.ssh(log, check=False).stderr
    assert stack.hosts["web1"].ssh(log).returncode == 0
    network.drop(stranger)


def _psql(stack: Stack, client: Host, database: str, part: str, port: int = 6432) -> str:
    """Connect to the database from a host with the right password, and give the error."""
    client.ssh("command -v psql >/dev/null || apt-get install -y -qq postgresql-client >/dev/null")
    user = f"airflow_{part}".rstrip("_")
    address = stack.hosts["data1"].address
    password = stack.secrets[f"postgresql_{part}password"]
    command = (
        f"PGPASSWORD={password} psql -h {address} -p {port} -U {user} {database} -XAtc 'select 1'"
    )
    return client.ssh(command, check=False).stderr


def _amqp(worker: Host, frm: Host, to: Host, password: str) -> str:
    """Connect to the broker from a host, and say how that went."""
    if frm is not worker:
        # The stranger has no AMQP client, but no connection either.
        probe = f"timeout 3 bash -c '</dev/tcp/{to.address}/5672' && echo connected"
        done = frm.ssh(probe, check=False)
        return (done.stdout + done.stderr).strip()
    code = (
        "import amqp, sys\n"
        f"c = amqp.Connection({to.address!r}, 'airflow', sys.stdin.readline().strip(),"
        " virtual_host='airflow')\n"
        "try:\n    c.connect(); print('connected')\n"
        "except Exception as error:\n    print(error)"
    )
    command = f'/opt/airflow/current/bin/python -c "{code}"'
    return frm.ssh(command, input=f"{password}\n", check=False).stdout.strip()


def test_chromium_sees_the_succeeded_run_and_the_failed_task_s_log(
    stack: Stack, tmp_path: Path
) -> None:
    airflow = stack.airflow
    good, _ = airflow.run("example_three_tasks")
    bad, state = airflow.run("failing")
    assert state == "failed"
    with chromium() as driver:
        log_in(driver, airflow.url, airflow.password)
        driver.get(f"{airflow.url}/dags/example_three_tasks/runs/{good}")
        assert shows(driver, "Success")
        driver.save_screenshot(str(tmp_path / "run.png"))  # docs/ has these pictures
        driver.get(f"{airflow.url}/dags/failing/runs/{bad}/tasks/fail")
        assert shows(driver, "the reason that a person looks for")
        driver.save_screenshot(str(tmp_path / "failed-task.png"))


def test_verifying_runs_a_task_on_each_worker_and_names_the_host_that_is_astray(
    stack: Stack,
) -> None:
    seen = verify(stack.deployment)
    assert seen.wrong == set()
    assert seen.rows["proxy", "web1"] == ("ok", "Airflow answers")
    assert [seen.rows["firewall", name][1] for name in NAMES] == ["loaded"] * len(NAMES)
    for worker in ("worker1", "worker2"):
        assert seen.rows[f"task on {worker}", "scheduler1"][1] == f"success on {worker}"
        assert seen.rows[f"log from {worker}", "web1"][0] == "ok"
    web1 = stack.hosts["web1"]
    web1.ssh("cp /etc/hosts /root/hosts && sed -i 's/.* worker2$/192.0.2.1 worker2/' /etc/hosts")
    astray = verify(stack.deployment)
    web1.ssh("cp /root/hosts /etc/hosts")
    assert astray.wrong == {"names of the hosts", "log from worker2"}
    assert astray.rows["names of the hosts", "web1"][1] == "wrong address: worker2"
    assert astray.rows["names of the hosts", "data1"][0] == "ok"


def test_hosts_find_each_other_by_name(stack: Stack) -> None:
    for client in stack.hosts.values():
        for name, host in stack.hosts.items():
            assert client.ssh(f"getent hosts {name}").stdout.split()[0] == host.address


@pytest.mark.parametrize("down", ["data1", "worker2"])
def test_with_a_host_down_nothing_goes_on_and_the_next_run_finishes(
    stack: Stack, down: str
) -> None:
    before = {name: value for name, value in stack.started().items() if name != down}
    stack.hosts["web1"].ssh("rm -f /usr/local/bin/airflow; nft delete table inet pyinfra_airflow")
    stack.hosts[down].container.stop(timeout=30)
    run = stack.deployment.show("-y")
    assert run.code != 0
    assert down in run.output
    assert stack.hosts["web1"].ssh("ls /usr/local/bin/airflow", check=False).returncode != 0
    stack.hosts[down].container.start()
    stack.hosts[down].wait()
    # After a reboot, before any run.
    assert "policy drop" in stack.hosts[down].ssh("nft list table inet pyinfra_airflow").stdout
    finished = stack.deployment.run()
    mended = ["Firewall | Keep the rules loaded", "Airflow | Write /usr/local/bin/airflow"]
    assert (finished.code, finished.changed) == (0, mended)
    after = {name: value for name, value in stack.started().items() if name != down}
    if down == "worker2":  # without its database Airflow's processes start anew by themselves
        assert after == before


def test_a_sixth_host_is_one_line_and_restarts_nothing(network: Network, stack: Stack) -> None:
    before = stack.started()
    host = network.host("worker3", distribution=DISTRIBUTION)
    text = stack.inventory.read_text()
    text = text.replace('        ("worker1",', f"        {_entry('worker3', host)}}}),\n"
                        '        ("worker1",')  # fmt: skip
    text = text.replace('worker = ["worker1",', 'worker = ["worker3", "worker1",')
    stack.inventory.write_text(text)
    stack.hosts["worker3"] = host
    folder = stack.inventory.parent
    stack.deployment.data |= sudo_users({"worker3": host}, folder) | _known(stack, folder)
    run = stack.deployment.run()
    assert run.code == 0, run.output
    assert stack.deployment.dry().planned == []
    after = stack.started()
    assert after.pop("worker3")
    assert after == before
    stack.hosts["worker1"].ssh("systemctl stop airflow-worker")
    run_id, state = stack.airflow.run("example_three_tasks")
    assert state == "success"
    tasks = stack.airflow.tasks("example_three_tasks", run_id).values()
    assert {task["hostname"] for task in tasks} == {"worker3"}
    assert "extracted" in stack.airflow.log("example_three_tasks", run_id, "extract")


def test_a_second_scheduler_a_second_web_host_and_a_worker_beside_the_broker(stack: Stack) -> None:
    text = stack.inventory.read_text()
    for group, first in (
        ("api_server", "web1"),
        ("scheduler", "scheduler1"),
        ("dag_processor", "scheduler1"),
    ):
        text = text.replace(f'{group} = ["{first}"]', f'{group} = ["{first}", "worker3"]')
    # The broker answers other hosts and its own.
    text = text.replace('worker = ["worker3",', 'worker = ["data1", "worker3",')
    stack.inventory.write_text(text)
    run = stack.deployment.run()
    assert run.code == 0, run.output
    assert stack.deployment.dry().planned == []
    run_id, state = stack.airflow.run("two_queues")
    assert state == "success"
    # The proxy leaves out the one that is down.
    stack.hosts["web1"].ssh("systemctl stop airflow-api-server")
    session = stack.airflow.session()
    for _ in range(20):
        assert session.get(f"{stack.airflow.api}/dags", timeout=60).ok
    assert "on worker2" in stack.airflow.log("two_queues", run_id, "reports")
    running = "select hostname from job where state = 'running' and job_type = 'SchedulerJob'"
    asked = stack.hosts["data1"].ssh(
        "cd / && runuser -u postgres -- psql airflow -At", input=running
    )
    assert set(asked.stdout.split()) == {"scheduler1", "worker3"}


def test_a_worker_that_is_no_more_leaves_neither_a_service_nor_a_queue(stack: Stack) -> None:
    def own() -> set[str]:
        asked = "rabbitmqctl -q list_queues -p airflow name </dev/null"
        names = stack.hosts["data1"].ssh(asked).stdout.split()
        return {name for name in names if name.startswith("verify.")}

    assert own() == {f"verify.{name}" for name in ("data1", "worker1", "worker2", "worker3")}
    stack.hosts["worker1"].ssh("systemctl stop airflow-worker")
    text = re.sub(r'\n *\("worker1".*', "", stack.inventory.read_text())
    text = text.replace('worker = ["data1", "worker3", "worker1",', 'worker = ["worker3",')
    stack.inventory.write_text(text)
    plan, run, after = stack.deployment.dry(), stack.deployment.run(), stack.deployment.dry()
    assert (run.changed, after.planned) == (plan.planned, [])
    assert "RabbitMQ | Remove the queues of workers that no longer exist" in plan.planned
    assert own() == {"verify.worker2", "verify.worker3"}
    left = "ls /etc/systemd/system | grep -e airflow-worker -e airflow-nightly || true"
    assert stack.hosts["data1"].ssh(left).stdout == ""


@pytest.mark.sweep
def test_a_pgbouncer_that_is_no_more_is_stopped_once_nobody_needs_it(stack: Stack) -> None:
    text = stack.inventory.read_text()
    stack.inventory.write_text(text.replace('pgbouncer = ["data1"]\n', ""))
    plan, run, after = stack.deployment.dry(), stack.deployment.run(), stack.deployment.dry()
    assert (run.changed, after.planned) == (plan.planned, [])
    assert "Servers | Stop PgBouncer, which no longer belongs on this host" in plan.planned
    left = "systemctl is-enabled pgbouncer; ls /etc/pgbouncer; ss -Hltn | grep :6432"
    assert stack.hosts["data1"].ssh(left, check=False).stdout == "disabled\n"
    assert stack.airflow.run("two_queues")[1] == "success"


def _known(stack: Stack, folder: Path) -> dict[str, str]:
    known = folder / "known_hosts"
    files = [host.data["ssh_known_hosts_file"] for host in stack.hosts.values()]
    known.write_text("".join(Path(file).read_text() for file in files))
    return {"ssh_known_hosts_file": str(known)}
