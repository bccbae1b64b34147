"""Valkey in place of Redis, on a distribution that has it."""

import json
from pathlib import Path

import pytest

from tests.support.cli import ROOT, Deployment, sudo_user
from tests.support.hosts import Network
from tests.support.rest import Airflow
from tests.support.verify import verify

pytestmark = [pytest.mark.docker, pytest.mark.sweep]


def test_valkey_is_a_broker_like_redis_and_leaves_like_it(network: Network, tmp_path: Path) -> None:
    host = network.host("valkey", distribution="trixie")
    inventory, secrets = tmp_path / "one.py", tmp_path / "secrets.json"
    text = (ROOT / "inventories/single.py").read_text()
    assert "postgresql = rabbitmq = [host]" in text
    inventory.write_text(text.replace("postgresql = rabbitmq =", "postgresql = valkey ="))
    given = {**sudo_user(host), "airflow_secrets_file": str(secrets), "redis_tls": True}
    given["airflow_dags"] = str(ROOT / "files/dags")
    deployment = Deployment(str(inventory), given, {"AIRFLOW_HOST": host.address})
    valkey = inventory.read_text()
    inventory.write_text(valkey.replace("valkey", "redis"))
    assert deployment.run().code == 0
    inventory.write_text(valkey)
    plan, run = deployment.dry(), deployment.run()
    assert run.code == 0, run.output
    assert "Servers | Stop Redis, whose port another server takes over" in run.changed
    assert set(run.changed) <= set(plan.planned)
    password = json.loads(secrets.read_text())["airflow_admin_password"]
    airflow = Airflow(host.address, password, "3.3.2")
    assert airflow.run("example_three_tasks")[1] == "success"
    rows = verify(deployment)
    assert rows.wrong == set()
    assert rows.rows["Valkey", host.address] == ("ok", "answers")
    sockets = host.ssh("ss -Hltnp").stdout
    assert "valkey-server" in sockets
    assert "redis" not in sockets
    assert deployment.run().changed == []

    inventory.write_text(text)
    run = deployment.run()
    assert run.code == 0, run.output
    assert "Servers | Stop Valkey, which no longer belongs on this host" in run.changed
    assert "valkey" not in host.ssh("ss -Hltnp; ls /etc/valkey | grep airflow", check=False).stdout
    assert host.ssh("ls /var/lib/valkey/airflow").stdout != ""
    assert airflow.run("example_three_tasks")[1] == "success"
    assert deployment.run().changed == []
    network.drop(host)
