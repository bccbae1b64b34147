"""A server that the inventory no longer has is stopped, once nobody uses it; its data stay."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.settings import certificates
from tests.support.cli import Deployment, Run, sudo_users
from tests.support.hosts import Host, Network
from tests.support.rest import Airflow
from tests.support.verify import verify
from tests.support.waiting import until

pytestmark = pytest.mark.docker

INVENTORY = """
hosts = (
    [("first", {{"ssh_hostname": "{first}"}}), ("second", {{"ssh_hostname": "{second}"}})],
    {{"_sudo": True, "airflow_dags": "files/dags"}},
)
api_server = scheduler = dag_processor = ["first"]
worker = ["first", "second"]
"""
AROUND = (
    "pgbouncer = proxy = statsd_exporter = postgresql_exporter = rabbitmq_exporter = ['first']\n"
)
RABBITMQ = "postgresql = rabbitmq = ['first']\n"
REDIS = "postgresql = redis = ['first']\n"
ELSEWHERE = "rabbitmq = ['first']\npostgresql = ['second']\n"
STOP = "Servers | Stop {}, which no longer belongs on this host"
UNITS = (
    *("rabbitmq-server", "redis-server@airflow", "nginx", "pgbouncer", "postgresql@15-main"),
    *("airflow-statsd-exporter", "airflow-postgresql-exporter"),
)


@dataclass
class Stack:
    """Two hosts, and the inventory that they are deployed by."""

    first: Host
    second: Host
    folder: Path
    deployment: Deployment

    def write(self, *parts: str) -> None:
        """Write the inventory."""
        text = INVENTORY.format(first=self.first.address, second=self.second.address)
        (self.folder / "two.py").write_text("".join((text, *parts)))

    def deploy(self, *parts: str) -> Run:
        """Deploy with these groups, as planned, and see that Airflow works."""
        self.write(*parts)
        plan, run = self.deployment.dry(), self.deployment.run()
        assert run.code == 0, run.output
        assert set(run.changed) <= set(plan.planned)
        secrets = self.folder / "secrets.json"
        password = json.loads(secrets.read_text())["airflow_admin_password"]
        ca = certificates.folder(secrets) / "ca.crt" if AROUND in parts else None
        airflow = Airflow(self.first.address, password, "3.3.2", certificate=ca)
        assert airflow.run("example_three_tasks")[1] == "success"
        assert verify(self.deployment).wrong == set()
        assert self.deployment.run().changed == []
        return run

    def on(self) -> set[str]:
        """Name the units that run on the first host, or would after a reboot."""
        ask = "for unit in {}; do systemctl is-{} -q $unit && echo $unit; done; true"
        questions = (ask.format(" ".join(UNITS), what) for what in ("active", "enabled"))
        return {unit for each in questions for unit in self.first.ssh(each).stdout.split()}

    def reaches(self, port: int) -> bool:
        """Tell whether somebody else than the hosts of Airflow gets to a port of the first."""
        rules = self.first.ssh("nft list ruleset").stdout
        return f"tcp dport {port} reject" not in rules


@pytest.fixture(scope="module")
def stack(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("absent")
    hosts = {name: network.host(name, distribution="bookworm") for name in ("first", "second")}
    data = {**sudo_users(hosts, folder), "airflow_secrets_file": str(folder / "secrets.json")}
    deployment = Deployment(str(folder / "two.py"), data)
    stack = Stack(hosts["first"], hosts["second"], folder, deployment)
    stack.deploy(RABBITMQ, AROUND)
    assert stack.on() == set(UNITS) - {"redis-server@airflow"}
    yield stack
    for host in hosts.values():
        network.drop(host)


def test_what_stands_around_airflow_goes_with_its_groups(stack: Stack) -> None:
    run = stack.deploy(REDIS)
    gone = [STOP.format(name) for name in ("nginx", "PgBouncer", "RabbitMQ")]
    assert set(gone) <= set(run.changed)
    assert stack.on() == {"redis-server@airflow", "postgresql@15-main"}
    files = "/etc/nginx/conf.d /etc/pgbouncer /etc/airflow-proxy"
    assert "airflow" not in stack.first.ssh(f"grep -rl airflow {files}", check=False).stdout
    assert stack.first.ssh("ls /var/lib/rabbitmq/mnesia").stdout != ""
    assert stack.reaches(5672)
    assert not stack.reaches(6379)


def test_one_that_is_used_stays_guarded_until_nobody_needs_it(stack: Stack) -> None:
    stack.write(RABBITMQ)
    partly = stack.deployment.show("-y", "--limit", "first")
    assert partly.code == 0, partly.output
    assert "Redis stays until the next run: it has " in partly.output
    assert "redis-server@airflow" in stack.on()
    assert not stack.reaches(6379)
    run = stack.deploy(RABBITMQ)
    assert STOP.format("Redis") in run.changed
    assert stack.on() == {"rabbitmq-server", "postgresql@15-main"}
    assert stack.reaches(6379)
    assert "appendonly" in stack.first.ssh("find /var/lib/redis/airflow").stdout
    assert "airflow" not in stack.first.ssh("ls /etc/redis").stdout


def test_a_database_keeps_what_it_has_until_it_is_back(stack: Stack) -> None:
    count = "cd / && runuser -u postgres -- psql airflow -XAtqc 'SELECT count(*) FROM dag_run'"
    before = int(stack.first.ssh(count).stdout)
    assert before > 0
    run = stack.deploy(ELSEWHERE)
    assert STOP.format("PostgreSQL") in run.changed
    assert stack.on() == {"rabbitmq-server"}
    stack.first.ssh("systemctl restart postgresql")
    assert stack.on() == {"rabbitmq-server"}
    stack.deploy(RABBITMQ)
    assert int(stack.first.ssh(count).stdout) > before
    stack.first.ssh("systemctl restart postgresql")
    until(lambda: "postgresql@15-main" in stack.on(), 30, "Debian's unit starts it again")
