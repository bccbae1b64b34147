"""Everything on one host that has hardly the memory for it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import requests

from tasks.host.machine import SWAP_FILE
from tests.support.cli import Deployment, Run
from tests.support.hosts import Host, Network
from tests.support.waiting import until

pytestmark = pytest.mark.docker

DAG = """
from datetime import datetime
from airflow import DAG
from airflow.{module} import BashOperator

dag = DAG("twenty", start_date=datetime(2017, 4, 21), {schedule}=None)
for number in range(20):
    BashOperator(task_id="task_%d" % number, bash_command="sleep 1", dag=dag)
"""
OLD = DAG.format(module="operators.bash_operator", schedule="schedule_interval")
MODERN = DAG.format(module="providers.standard.operators.bash", schedule="schedule")

STATE = """
free -m; cat /proc/swaps; systemctl --no-pager list-units --failed 'airflow-*' rabbitmq-server
systemctl show -p Id,NRestarts,ActiveState 'airflow-*.service' rabbitmq-server postgresql
ps -eo rss,vsz,user,etimes,args --sort=-rss | cut -c -110 | head -n 25
journalctl --no-pager -n 40 -u rabbitmq-server
"""
PROPERTIES = ("ControlGroup", "MemoryMax")


@dataclass(frozen=True)
class Case:
    """A release on a host of so many MiB of memory, and as much swap or more."""

    inventory: str
    distribution: str
    memory: int
    dag: str
    trigger: str
    page: str

    def __str__(self) -> str:
        return f"{self.inventory} in {self.memory} MiB"


CASES = [
    Case(
        "walkthrough", "bullseye", 512, OLD, "airflow unpause twenty && airflow trigger_dag twenty",
        "/admin/airflow/login",
    ),
    *(
        pytest.param(
            Case(
                "single", "bookworm", memory, MODERN,
                "airflow dags unpause twenty && airflow dags trigger twenty", "/auth/login/",
            ),
            marks=pytest.mark.sweep,
        )
        for memory in (1024, 768)
    ),
]  # fmt: skip


@dataclass
class Stack:
    """A deployed host."""

    case: Case
    host: Host
    deployment: Deployment
    run: Run

    def query(self, sql: str) -> str:
        """Ask the metadata database, as PostgreSQL's superuser."""
        psql = "cd / && runuser -u postgres -- psql airflow -XAt"
        return self.host.ssh(psql, input=sql).stdout.strip()

    def killed(self) -> int:
        """Count what the kernel has killed for want of memory on this host."""
        group = f"/sys/fs/cgroup/memory/docker/{self.host.container.id}"
        files = f"{group}/memory.oom_control {group}/memory.events"
        count = f"grep -rhs '^oom_kill ' {files}; find {group} -name memory.oom_control"
        lines = self.host.exec(f"{count} -exec grep -h '^oom_kill ' {{}} + 2>/dev/null").stdout
        assert "oom_kill" in lines
        return sum(int(line.split()[1]) for line in lines.splitlines())


@pytest.fixture(autouse=True)
def state_after(stack: Stack) -> Iterator[None]:
    """Print how the host is after each test: a test that has failed shows it."""
    yield
    print(stack.host.exec(STATE, check=False).stdout)


@dataclass
class Answers:
    """What the web UI said when it was asked again and again."""

    codes: list[int | str] = field(default_factory=list)
    worst: float = 0


@contextmanager
def asked(url: str) -> Iterator[Answers]:
    """Open a page of the web UI every two seconds, all along the context."""
    answers, done = Answers(), threading.Event()

    def ask() -> None:
        while not done.wait(2):
            start = time.monotonic()
            try:
                answers.codes.append(requests.get(url, timeout=60).status_code)
            except requests.RequestException as error:
                answers.codes.append(str(error))
            answers.worst = max(answers.worst, time.monotonic() - start)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module", params=CASES, ids=str)
def stack(
    request: pytest.FixtureRequest, network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    case: Case = request.param
    host = network.host(
        f"small-{case.memory}",
        distribution=case.distribution,
        memory=f"{case.memory}m",
        memswap=f"{4 * case.memory}m",
    )
    deployment = Deployment(
        f"inventories/{case.inventory}.py",
        {**host.data, "airflow_secrets_file": str(tmp_path_factory.mktemp("s") / "secrets.json")},
        environment={"AIRFLOW_HOST": host.address},
    )
    run = deployment.run()
    assert run.code == 0, run.output
    yield Stack(case, host, deployment, run)
    network.drop(host)


def test_the_host_has_been_given_swap(stack: Stack) -> None:
    assert "System | Set up the swap file" in stack.run.changed
    assert SWAP_FILE in stack.host.ssh("cat /proc/swaps").stdout
    assert stack.host.ssh(f"stat -c '%a %U' {SWAP_FILE}").stdout == "600 root\n"
    assert stack.deployment.dry().planned == []


def test_the_servers_and_the_worker_keep_to_their_share(stack: Stack) -> None:
    assert stack.query("SHOW shared_buffers") == f"{stack.case.memory // 16}MB"
    limit = "rabbitmqctl -q eval 'vm_memory_monitor:get_memory_limit().' </dev/null"
    assert int(stack.host.ssh(limit).stdout) == 256 << 20
    show = "systemctl show --value -p {} airflow-worker"
    group, most = (stack.host.ssh(show.format(of)).stdout.strip() for of in PROPERTIES)
    files = f"/sys/fs/cgroup/memory{group}/memory.limit_in_bytes /sys/fs/cgroup{group}/memory.max"
    assert stack.host.ssh(f"cat {files} 2>/dev/null || true").stdout.split() == [most]
    assert int(most) < stack.case.memory << 20


def test_twenty_tasks_succeed_while_the_web_ui_answers_and_nothing_is_killed(stack: Stack) -> None:
    path = "/var/lib/airflow/dags/twenty.py"
    stack.host.ssh(f"cat > {path} && chmod 644 {path}", input=stack.case.dag)
    known = "select 1 from dag where dag_id = 'twenty'"
    until(lambda: stack.query(known), 300, "the DAG")
    ended = "select count(*) from task_instance where dag_id = 'twenty' and state = 'success'"
    with asked(f"http://{stack.host.address}:8080{stack.case.page}") as answers:
        stack.host.ssh(stack.case.trigger)
        until(lambda: stack.query(ended) == "20", 900, "the end of twenty tasks")
    print(f"{stack.case}: {len(answers.codes)} pages, the slowest in {answers.worst:.1f} s")
    assert len(answers.codes) > 5
    assert set(answers.codes) == {200}
    assert stack.killed() == 0
    services = stack.host.ssh("systemctl show -p NRestarts 'airflow-*.service'").stdout.split()
    assert set(services) == {"NRestarts=0"}


def test_an_uninstall_beside_it_does_not_take_its_swap(stack: Stack, network: Network) -> None:
    beside = network.host("beside", distribution=stack.case.distribution)
    data = {**stack.deployment.data, **beside.data}
    uninstall = Deployment(
        stack.deployment.inventory, data, {"AIRFLOW_HOST": beside.address}, "tasks.deploy_uninstall"
    )
    run = uninstall.show("-y")
    network.drop(beside)
    assert run.code == 0, run.output
    assert SWAP_FILE in stack.host.ssh("cat /proc/swaps").stdout


def test_swap_that_was_taken_away_is_planned_and_comes_back(stack: Stack) -> None:
    step = "System | Set up the swap file"
    stack.host.ssh(f"sed -i '\\|{SWAP_FILE}|d' /etc/fstab")
    assert stack.deployment.dry().planned == [step]
    assert stack.deployment.run().changed == [step]
    assert stack.host.ssh("cat /etc/fstab").stdout.count(SWAP_FILE) == 1
    assert stack.deployment.dry().planned == []
