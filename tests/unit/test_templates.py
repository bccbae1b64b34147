"""What is rendered, against files written down, and read back by those who read it."""

import configparser
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasks.airflow import airflow_cfg
from tasks.airflow.services import unit_text
from tasks.catalog.servers import POSTGRESQL
from tasks.host.blocks import with_block
from tasks.resources import template
from tasks.servers.postgresql import hba_lines
from tasks.servers.rabbitmq import configuration
from tasks.settings import Settings
from tasks.settings.endpoints import listeners
from tests.support import made_up

GOLDEN = Path(__file__).parent / "golden"
SECRETS = {
    "airflow_admin_password": 'a"b$c`d\\e',
    "airflow_fernet_key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "airflow_secret_key": "session",
    "postgresql_password": "geheim",
    "rabbitmq_password": "secreto",
}


@pytest.mark.parametrize("name", ["webserver", "scheduler", "worker", "flower"])
def test_units(tmp_path: Path, name: str) -> None:
    settings = made_up.settings(
        tmp_path / "s",
        airflow_version="1.8.2",
        airflow_worker_queues="default,slow",
        airflow_worker_concurrency=8,
        airflow_worker_stop_timeout=3600,
    )
    text = unit_text(settings, settings.release.component(name))
    assert text == (GOLDEN / f"airflow-{name}.service").read_text()


def test_a_unit_without_the_sandbox(tmp_path: Path) -> None:
    settings = made_up.settings(tmp_path / "s", airflow_hardening=False)
    text = unit_text(settings, settings.release.component("worker"))
    assert "NoNewPrivileges" not in text
    assert "User=airflow" in text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, ["127.0.0.1:5672"]),
        ({"rabbitmq_allow": "10.0.0.0/8"}, ["127.0.0.1:5672", "192.0.2.10:5672"]),
        ({"rabbitmq_bind_address": "10.0.0.5"}, ["127.0.0.1:5672", "10.0.0.5:5672"]),
        ({"rabbitmq_bind_address": "0.0.0.0"}, ["0.0.0.0:5672"]),
        ({"rabbitmq_bind_address": "::1", "rabbitmq_port": 5673}, ["::1:5673"]),
    ],
)
def test_the_broker_always_answers_airflow_on_its_own_host(
    tmp_path: Path, data: dict[str, Any], expected: list[str]
) -> None:
    settings = made_up.settings(tmp_path / "s", **data)
    text = configuration(settings)["/etc/rabbitmq/rabbitmq.conf"].text
    lines = [line for line in text.splitlines() if line.startswith("listeners")]
    assert lines == [f"listeners.tcp.{n} = {each}" for n, each in enumerate(expected, start=1)]


def test_airflow_cfg(tmp_path: Path) -> None:
    settings = made_up.settings(
        tmp_path / "s",
        airflow_version="1.8.2",
        airflow_config={
            "core": {"parallelism": 8, "load_examples": True},
            "smtp": {"smtp_host": "mail.example", "smtp_password": "verrou"},
        },
        **SECRETS,
    )
    text = airflow_cfg.render(settings)
    assert text == (GOLDEN / "airflow.cfg").read_text()
    parsed = configparser.RawConfigParser()
    parsed.read_string(text)
    assert parsed["core"]["load_examples"] == "True"
    assert [secret for secret in (*SECRETS.values(), "verrou") if secret in text] == []


def test_the_secrets_reach_the_environment_as_a_shell_reads_it(tmp_path: Path) -> None:
    settings = made_up.settings(
        tmp_path / "s",
        airflow_version="1.8.2",
        airflow_config={"smtp": {"smtp_password": "it's"}},
        **SECRETS,
    )
    file = tmp_path / "secrets.env"
    file.write_text(airflow_cfg.environment_file(airflow_cfg.secret_environment(settings)))
    read = subprocess.run(
        ["env", "-i", "sh", "-c", f"set -a; . {file}; env"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert set(read) >= {
        "AIRFLOW__CORE__SQL_ALCHEMY_CONN="
        "postgresql+psycopg2://airflow:geheim@127.0.0.1:5432/airflow",
        "AIRFLOW__CELERY__BROKER_URL=pyamqp://airflow:secreto@127.0.0.1:5672/airflow",
        "AIRFLOW__SMTP__SMTP_PASSWORD=it's",
        'FLOWER_BASIC_AUTH=admin:a"b$c`d\\e',
    }


@pytest.mark.parametrize(("node", "loopback"), [("rabbit@localhost", True), ("rabbit@mq1", False)])
def test_rabbitmq_env_conf(tmp_path: Path, node: str, loopback: bool) -> None:
    text = template(
        "rabbitmq-env.conf", settings=made_up.settings(tmp_path / "s", rabbitmq_node_name=node)
    )
    assert f"NODENAME={node}\n" in text
    assert ("inet_dist_use_interface {127,0,0,1}" in text) is loopback


def test_pg_hba_has_a_line_for_each_airflow_host(tmp_path: Path) -> None:
    first, second = "192.0.2.1", "192.0.2.2"
    groups = {group: [first] for group in ("postgresql", "rabbitmq", "scheduler")}
    data = {
        "airflow_version": "2.11.2",
        "airflow_secrets_file": tmp_path / "s",
        "postgresql_allow": ["198.51.100.7", "10.1.2.3/8", "2001:db8::1"],
    }
    host = made_up.host({**groups, "worker": [second]}, first, **data)
    settings = Settings.of(host)
    assert hba_lines(settings) == [
        "host airflow airflow 127.0.0.1/32 scram-sha-256",
        "host airflow airflow ::1/128 scram-sha-256",
        "host airflow airflow 192.0.2.2/32 scram-sha-256",
        "host airflow airflow 198.51.100.7/32 scram-sha-256",
        "host airflow airflow 10.0.0.0/8 scram-sha-256",
        "host airflow airflow 2001:db8::1/128 scram-sha-256",
    ]
    assert listeners(settings, POSTGRESQL) == ("localhost", "192.0.2.1")


def test_our_block_of_pg_hba_stays_first_and_the_rest_stays() -> None:
    ours = ["host a a 127.0.0.1/32 scram-sha-256"]
    first = with_block(["local all all peer"], ours)
    assert first[1] == ours[0]
    assert first[-1] == "local all all peer"
    assert with_block(first, ours) == first
    pushed = with_block(["host all all 0.0.0.0/0 trust", *first], ours)
    assert pushed[:3] == first[:3]
    assert "host all all 0.0.0.0/0 trust" in pushed
