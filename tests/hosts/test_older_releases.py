"""Airflow 1 with all that can stand around it: proxy, PgBouncer, firewall, exporters, TLS."""

import json
import re
from pathlib import Path

import pytest
import requests

from tasks.settings import certificates
from tests.support import airflow_1_8, airflow_1_10
from tests.support.cli import ROOT, Deployment, sudo_user
from tests.support.hosts import Network
from tests.support.monitoring import metrics
from tests.support.verify import verify
from tests.support.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.sweep]

AROUND = """
proxy = pgbouncer = [host]
statsd_exporter = postgresql_exporter = rabbitmq_exporter = [host]
hosts[1].update(
    airflow_extras="celery,crypto,password,postgres,statsd",
    firewall=True,
    airflow_health_port=8081,
    postgresql_tls=True,
    pgbouncer_max_clients=50_000,
)
"""


@pytest.mark.parametrize(
    ("release", "airflow_class", "login", "field"),
    [
        ("1.8.2", airflow_1_8.Airflow, "/admin/airflow/login", "_csrf_token"),
        ("1.10.15", airflow_1_10.Airflow, "/login/", "csrf_token"),
    ],
)
def test_an_older_release_works_with_all_that_stands_around_it(
    network: Network,
    tmp_path: Path,
    release: str,
    airflow_class: type[airflow_1_8.Airflow],
    login: str,
    field: str,
) -> None:
    host = network.host(f"around-{release.replace('.', '-')}", distribution="bullseye")
    inventory = tmp_path / "around.py"
    inventory.write_text((ROOT / "inventories/walkthrough.py").read_text() + AROUND)
    deployment = Deployment(
        str(inventory),
        {
            **sudo_user(host),
            "airflow_version": release,
            "airflow_dags": str(ROOT / "files/dags"),
        },
        environment={"AIRFLOW_HOST": host.address},
    )
    plan, run = deployment.dry(), deployment.run()
    assert run.code == 0, run.output
    assert run.changed == plan.planned
    assert deployment.run().changed == []

    password = json.loads((tmp_path / f".secrets/{host.address}.json").read_text())[
        "airflow_admin_password"
    ]
    airflow = airflow_class(host, password)
    assert airflow.run("example_three_tasks") == "success"
    session = requests.Session()
    session.trust_env = False  # else REQUESTS_CA_BUNDLE would win
    session.verify = str(certificates.folder(tmp_path / f".secrets/{host.address}.json") / "ca.crt")
    url = f"https://{host.address}"
    page = session.get(url + login, timeout=60)
    token = re.search(rf'name="{field}"[^>]*value="([^"]+)"', page.text)
    form = {"username": "admin", "password": password, field: token[1] if token else ""}
    home = session.post(url + login, data=form, headers={"Referer": url + login}, timeout=60)
    assert home.url.startswith(url)
    assert "example_three_tasks" in home.text
    assert all(cookie.secure for cookie in session.cookies)
    until(lambda: "scheduler_heartbeat" in metrics(host, 9103), 60, "metrics of the scheduler")
    encrypted = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
    assert ["t"] in airflow.query(f"{encrypted} WHERE usename ~ '^airflow'")
    assert verify(deployment).wrong == set()

    host.ssh("pkill -9 pgbouncer; pkill -9 nginx")
    answer = "pg_isready -h 127.0.0.1 -p 6432 && bash -c '</dev/tcp/127.0.0.1/443'"
    until(lambda: host.ssh(answer, check=False).returncode == 0, 30, "their own return")
    assert deployment.run().changed == []
    assert airflow.run("example_three_tasks") == "success"
    network.drop(host)
