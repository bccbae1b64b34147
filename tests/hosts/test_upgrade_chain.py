"""The walkthrough's own stack, brought to today's release: 1.8.2, 1.10.15, 2.11.2, 3.3.2.

Debian 11 has a Python for the first two alone, and Debian 12 for the others, so the way leads over
a backup to new hosts; there are two of those, which go from release to release together.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support import airflow_1_8
from tests.support.cli import Deployment, Run
from tests.support.hosts import Host, Network
from tests.support.rest import Airflow
from tests.support.verify import verify

pytestmark = [pytest.mark.docker, pytest.mark.sweep]

TWO_HOSTS = """
hosts = (
    [("core", {{"ssh_hostname": "{core}"}}), ("worker1", {{"ssh_hostname": "{worker1}"}})],
    {{
        "airflow_version": "{release}",
        "airflow_dags": "{dags}",
        "airflow_secrets_file": "{secrets}",
        "ssh_user": "root",
        "ssh_key": "{key}",
        "ssh_strict_host_key_checking": "no",
        "ssh_known_hosts_file": "/dev/null",
    }},
)
postgresql = rabbitmq = webserver = scheduler = triggerer = dag_processor = ["core"]
worker = ["worker1"]
"""
BROKEN = "/etc/systemd/system/airflow-worker.service.d/broken.conf"


@dataclass
class Chain:
    """Where the database is, and what has run before everything."""

    folder: Path
    old: Host
    secrets: Path
    date: str = ""

    def deployment(self, release: str, deploy: str = "deploy.py") -> Deployment:
        """Give the first host's deployment."""
        data = {
            **self.old.data,
            "_sudo": False,
            "airflow_version": release,
            "airflow_extras": "celery",
            "airflow_secrets_file": str(self.secrets),
            "airflow_backup_folder": str(self.folder / "backups"),
        }
        environment = {"AIRFLOW_HOST": self.old.address}
        return Deployment("inventories/walkthrough.py", data, environment, deploy)


@pytest.fixture(scope="module")
def chain(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("chain")
    host = network.host("chain", distribution="bullseye")
    chain = Chain(folder, host, folder / "secrets.json")
    run = chain.deployment("1.8.2").run()
    assert run.code == 0, run.output
    airflow = airflow_1_8.Airflow(host, json.loads(chain.secrets.read_text())[PASSWORD])
    chain.date = airflow.trigger("example_three_tasks")
    assert airflow.finish("example_three_tasks", chain.date) == "success"
    yield chain
    network.drop(host)


PASSWORD = "airflow_admin_password"


def _history(host: Host, column: str) -> str:
    sql = f"SELECT dag_id, {column} FROM dag_run WHERE dag_id = 'example_three_tasks'"
    return host.ssh("cd / && runuser -u postgres -- psql airflow -XAt", input=sql).stdout


def test_1_8_becomes_1_10_in_place(chain: Chain) -> None:
    wrong = chain.deployment("2.11.2").show("-y")
    assert wrong.code != 0
    assert (
        "Airflow 1.8.2 can't be upgraded to 2.11.2 directly: upgrade to 1.10.15 first"
        in wrong.output
    )
    run = chain.deployment("1.10.15").run()
    assert run.code == 0, run.output
    assert chain.date in _history(chain.old, "execution_date::timestamp")
    assert verify(chain.deployment("1.10.15")).wrong == set()
    assert chain.deployment("1.10.15").dry().planned == []


@dataclass
class Pair:
    """Two hosts, and the inventory that they have."""

    hosts: dict[str, Host]
    folder: Path
    secrets: Path

    def deployment(self, release: str, deploy: str = "deploy.py") -> Deployment:
        """Write the inventory for a release."""
        inventory = self.folder / "pair.py"
        inventory.write_text(
            TWO_HOSTS.format(
                release=release,
                dags=Path("files/dags").resolve(),
                secrets=self.secrets,
                key=self.hosts["core"].data["ssh_key"],
                **{name: host.address for name, host in self.hosts.items()},
            )
        )
        return Deployment(str(inventory), {}, deploy=deploy)

    def started(self) -> list[str]:
        """Name the services that run on each host."""
        ask = "systemctl list-units --plain --no-legend --state=active 'airflow-*.service'"
        return [
            f"{name} {line.split()[0]}"
            for name, host in self.hosts.items()
            for line in host.ssh(ask).stdout.splitlines()
            if "firewall" not in line
        ]


@pytest.fixture(scope="module")
def pair(
    chain: Chain, network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Restore the backup of 1.10.15 in 2.11.2 on two new hosts."""
    backed_up = chain.deployment("1.10.15", "tasks.deploy_backup").show("-y")
    assert backed_up.code == 0, backed_up.output
    (backup,) = (chain.folder / "backups").glob("*.tar")
    folder = tmp_path_factory.mktemp("pair")
    hosts = {name: network.host(name, distribution="bookworm") for name in ("core", "worker1")}
    pair = Pair(hosts, folder, folder / "secrets.json")
    run = pair.deployment("2.11.2", "tasks.deploy_restore").show("-y", airflow_restore=str(backup))
    assert run.code == 0, run.output
    yield pair
    for host in hosts.values():
        network.drop(host)


def test_1_10_is_restored_as_2_11_on_new_hosts(chain: Chain, pair: Pair) -> None:
    assert chain.date in _history(pair.hosts["core"], "execution_date::timestamp")
    assert verify(pair.deployment("2.11.2")).wrong == set()
    assert pair.deployment("2.11.2").dry().planned == []


def test_a_worker_that_does_not_start_brings_both_hosts_back(chain: Chain, pair: Pair) -> None:
    worker, before = pair.hosts["worker1"], pair.started()
    worker.ssh(
        f"mkdir -p $(dirname {BROKEN}) && printf '[Service]\\nExecStartPre=/bin/sh -c"
        f' "! readlink /opt/airflow/current | grep 3.3.2"\\n\' > {BROKEN}'
        " && systemctl daemon-reload"
    )
    run: Run = pair.deployment("3.3.2").show("-y")
    worker.ssh(f"rm {BROKEN} && systemctl daemon-reload")
    print(run.output[-4000:])
    assert run.code != 0
    assert "The upgrade has failed: every host returns to the previous release" in run.output
    assert pair.started() == before
    assert chain.date in _history(pair.hosts["core"], "execution_date::timestamp")
    again = pair.deployment("2.11.2").run()
    assert again.code == 0, again.output
    assert verify(pair.deployment("2.11.2")).wrong == set()


def test_2_11_becomes_3_3_on_both_hosts(chain: Chain, pair: Pair) -> None:
    deployment = pair.deployment("3.3.2")
    run = deployment.run()
    assert run.code == 0, run.output
    assert chain.date in _history(pair.hosts["core"], "logical_date::timestamp")
    assert verify(deployment).wrong == set()
    assert replace(deployment, deploy="deploy.py").dry().planned == []
    password = json.loads(pair.secrets.read_text())[PASSWORD]
    airflow = Airflow(pair.hosts["core"].address, password, "3.3.2")
    assert airflow.run("example_three_tasks")[1] == "success"
