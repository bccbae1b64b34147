"""A first deploy that is killed again and again, at one step after the other, still gets there."""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import pytest

from tests.support.cli import Deployment, sudo_user
from tests.support.far import data, far
from tests.support.hosts import Host, Network
from tests.support.rest import Airflow

pytestmark = pytest.mark.docker

# Steps that take long enough to be killed in their middle as well.
LONG = (
    "PostgreSQL | Install the server",
    "RabbitMQ | Install the broker",
    "Python | Install Python and the build dependencies",
    "Python | Create the bootstrap environment",
    "Python | Create the environment of Airflow 3.3.2",
    "Database | Create the schema of Airflow 3.3.2",
    "Services | Wait until the API server works",
)
# What a run or a plan costs on a host that is as it should be, whatever the machine: remote
# commands, beside the one that holds the host, and round trips over a line with delay.
COMMANDS = 10
ROUND_TRIPS = 30
# What a deploy leaves, with owners and modes, but without what Python compiles and when.
LISTING = r"""
find /etc/airflow /etc/postgresql /etc/rabbitmq /etc/systemd/system /opt/airflow /usr/local/bin \
    /var/lib/airflow/airflow.cfg /var/lib/airflow/dags ! -name '*.pyc' ! -name '*.new' \
    ! -name __pycache__ -printf '%p %u %g %m %y %l\n' | sort
cat /etc/airflow/* /etc/hosts /etc/postgresql/*/main/pg_hba.conf /etc/rabbitmq/*.conf \
    /etc/postgresql/*/main/conf.d/* /etc/systemd/system/airflow-* /var/lib/airflow/airflow.cfg
cd / && runuser -u postgres -- psql -XAt -c '\du' -c '\l'
rabbitmqctl -q list_users </dev/null; rabbitmqctl -q list_permissions -p airflow </dev/null
systemctl list-units --plain --no-legend 'airflow-*' 'postgresql@*' 'rabbitmq*'
"""


@dataclass(frozen=True)
class Point:
    """Where a run is killed."""

    step: str
    after: float
    """Seconds in the step."""


@dataclass
class Fresh:
    """A bare host, and the deployment to it."""

    host: Host
    deployment: Deployment
    secrets: Path

    def points(self) -> list[Point]:
        """Give every step that the plan announces, the long ones twice, in their order."""
        plan = self.deployment.dry().planned
        return [Point(s, after) for s in plan for after in ((0, 3) if s in LONG else (0,))]

    def kill_at(self, point: Point, kill: "Kill") -> None:
        """Start a run and kill it at a point."""
        process = self.deployment.start()
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if line.strip() == f"--> Starting operation: {point.step}":
                time.sleep(point.after)
                kill(self, process.pid)
                break
        else:
            pytest.fail(f"the run ended before {point}:\n{''.join(said)}")
        process.stdout.read()
        assert process.wait(timeout=120) != 0 or point.after

    def state(self) -> str:
        """Describe what is on the host, as it would be at any address."""
        return self.host.ssh(LISTING).stdout.replace(self.host.address, "ADDRESS")


Kill = Callable[[Fresh, int], object]


def control(_: Fresh, pid: int) -> None:
    """Kill pyinfra."""
    os.kill(pid, signal.SIGKILL)


def connection(fresh: Fresh, _: int) -> None:
    """Kill the server's end of the SSH connection."""
    fresh.host.exec("pkill -KILL -f '^sshd: debian'")


@pytest.fixture
def fresh(network: Network, tmp_path: Path) -> Iterator[Callable[[str], Fresh]]:
    """Make bare hosts that differ in nothing but their addresses."""
    secrets = tmp_path / "secrets.json"
    made: list[Host] = []

    def make(name: str) -> Fresh:
        host = network.host(name, distribution="bookworm")
        made.append(host)
        data = {**sudo_user(host), "airflow_secrets_file": str(secrets)}
        environment = {"AIRFLOW_HOST": host.address}
        return Fresh(host, Deployment("inventories/single.py", data, environment), secrets)

    yield make
    for host in made:
        network.drop(host)


KILLS = [control, connection]


def heal(host: Fresh, kills: Iterable[tuple[Point, Kill]]) -> None:
    """Kill a first deploy at all of the points, one after the other, and then let it end."""
    for point, kill in kills:
        print(f"--> {kill.__name__} killed at {point.step} after {point.after} s", flush=True)
        host.kill_at(point, kill)
    run = host.deployment.run()
    assert run.code == 0, run.output
    assert host.deployment.dry().planned == []


def test_a_deploy_killed_at_some_steps_gets_there_and_costs_little_from_then_on(
    fresh: Callable[[str], Fresh], tmp_path: Path
) -> None:
    host = fresh("killed")
    points = host.points()
    drawn = sorted(random.Random("killed").sample(range(len(points)), 6))
    heal(host, zip((points[number] for number in drawn), cycle(KILLS), strict=False))
    with far(host.host, 0.05) as line:
        away = replace(host.deployment, data=host.deployment.data | data(host.host, line, tmp_path))
        for options in (["-y"], ["--dry"]):
            line.round_trips = 0
            run = away.show(*options, "-vv")
            assert run.commands <= COMMANDS
            assert line.round_trips <= ROUND_TRIPS


@pytest.mark.sweep
@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: kill.__name__)
def test_a_deploy_killed_at_every_step_gets_there(
    fresh: Callable[[str], Fresh], kill: Kill
) -> None:
    host, undisturbed = fresh("killed"), fresh("undisturbed")
    heal(host, ((point, kill) for point in host.points()))
    assert undisturbed.deployment.run().code == 0
    assert host.state().splitlines() == undisturbed.state().splitlines()
    password = json.loads(host.secrets.read_text())["airflow_admin_password"]
    assert Airflow(host.host.address, password, "3.3.2").run("example_three_tasks")[1] == "success"
