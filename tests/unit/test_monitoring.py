"""What follows from the groups of exporters, without any host."""

import configparser
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tasks import Settings, SettingsError
from tasks.airflow import airflow_cfg
from tasks.airflow.services import unit_text
from tasks.catalog.releases import HEALTH, RELEASES
from tasks.catalog.servers import EXPORTERS
from tasks.servers.firewall import allowed
from tasks.settings import exporters
from tests.support import made_up

SPREAD = {
    "postgresql": ["db"],
    "rabbitmq": ["mq"],
    "api_server": ["web"],
    "scheduler": ["web"],
    "dag_processor": ["web"],
    "worker": ["w1"],
    "statsd_exporter": ["web"],
    "postgresql_exporter": ["db"],
    "rabbitmq_exporter": ["mq"],
}


def read(folder: Path, name: str, groups: dict[str, list[str]], **data: Any) -> Settings:
    return Settings.of(made_up.host(groups, name, airflow_secrets_file=folder / "s", **data))


def alone(folder: Path, **data: Any) -> Settings:
    groups = made_up.everything("192.0.2.10") | {each.group: ["192.0.2.10"] for each in EXPORTERS}
    return read(folder, "192.0.2.10", groups, **data)


@pytest.mark.parametrize(
    ("name", "sends_to", "ports"),
    [("web", "web", {9103}), ("w1", "web", set()), ("db", "web", {9187}), ("mq", "web", {15692})],
)
def test_each_exporter_is_on_the_host_of_what_it_is_about(
    tmp_path: Path, name: str, sends_to: str, ports: set[int]
) -> None:
    settings = read(tmp_path, name, SPREAD, monitoring_allow="192.0.2.20")
    assert settings.topology.statsd == sends_to
    assert set(exporters.ports(settings).values()) == ports
    assert {port: allowed(settings)[port] for port in ports} == {
        port: ["192.0.2.20"] for port in ports
    }
    assert allowed(settings, "udp") == ({8125: ["w1"]} if name == "web" else {})


def test_metrics_stay_on_loopback_until_a_prometheus_is_named(tmp_path: Path) -> None:
    settings = alone(tmp_path)
    assert (settings.topology.statsd, exporters.address(settings)) == ("127.0.0.1", "127.0.0.1")
    assert (allowed(settings), allowed(settings, "udp")) == ({}, {})
    named = alone(tmp_path, monitoring_allow="192.0.2.20")
    assert (named.topology.statsd, exporters.address(named)) == ("127.0.0.1", "192.0.2.10")


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_every_line_has_what_sends_metrics(tmp_path: Path, release: Any) -> None:
    settings = alone(tmp_path, airflow_version=release.version)
    assert "statsd" in settings.extras
    for python in release.pythons:
        assert "statsd" in settings.wanted(python).pins
    parsed = configparser.RawConfigParser()
    parsed.read_string(airflow_cfg.render(settings))
    section = "scheduler" if release.version.startswith("1.") else "metrics"
    assert parsed[section]["statsd_on"] == "True"
    assert (parsed[section]["statsd_host"], parsed[section]["statsd_port"]) == ("127.0.0.1", "8125")


@pytest.mark.parametrize(
    ("group", "hosts", "sentence"),
    [
        ("statsd_exporter", ["web", "db"], "statsd_exporter has more than one host"),
        ("postgresql_exporter", ["web"], "has web, which does not run postgresql"),
        ("rabbitmq_exporter", ["mq", "db"], "has db, which does not run rabbitmq"),
    ],
)
def test_an_exporter_that_would_reach_nothing_is_refused(
    tmp_path: Path, group: str, hosts: list[str], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        read(tmp_path, "web", {**SPREAD, group: hosts})


@pytest.mark.parametrize(
    ("version", "url", "extra", "section"),
    [
        ("3.3.2", "s3://bucket/logs", "amazon", "logging"),
        ("3.3.2", "oss://bucket/logs", "alibaba", "logging"),
        ("2.11.2", "wasb://logs", "microsoft-azure", "logging"),
        ("2.11.2", "cloudwatch://arn:aws:logs:eu-west-1:1:log-group:airflow", "amazon", "logging"),
        ("1.10.15", "gs://bucket/logs", "gcp", "core"),
        ("1.8.2", "s3://bucket/logs", "s3", "core"),
    ],
)
def test_remote_logs_want_their_extra(
    tmp_path: Path, version: str, url: str, extra: str, section: str
) -> None:
    data = {"airflow_version": version, "airflow_remote_logs": url}
    with pytest.raises(SettingsError, match=f"airflow_remote_logs needs .*{extra}"):
        made_up.settings(tmp_path / "s", **data)
    settings = made_up.settings(
        tmp_path / "s", airflow_extras=extra, airflow_remote_logs_connection="logs", **data
    )
    parsed = configparser.RawConfigParser()
    parsed.read_string(airflow_cfg.render(settings))
    assert parsed[section]["remote_base_log_folder"] == url
    assert parsed[section]["remote_log_conn_id"] == "logs"
    assert parsed[section].get("remote_logging") == (None if version == "1.8.2" else "True")


def test_the_health_summary_asks_for_every_other_component(tmp_path: Path) -> None:
    settings = made_up.settings(tmp_path / "s", airflow_health_port=8081)
    lines = unit_text(settings, HEALTH).splitlines()
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    _, script, address, port, *checks = shlex.split(start)
    assert (script, address, port) == ("/opt/airflow/lib/airflow_health.py", "0.0.0.0", "8081")
    assert [json.loads(check)[0] for check in checks] == [
        component.name for component in settings.release.components
    ]


def test_a_health_summary_gives_a_worker_no_secret_that_it_had_not(tmp_path: Path) -> None:
    groups = {
        group: hosts
        for group, hosts in SPREAD.items()
        if group not in [each.group for each in EXPORTERS]
    }
    worker = read(tmp_path, "w1", groups, airflow_health_port=8081)
    assert worker.withheld == {
        "database_url",
        "async_database_url",
        "fernet_key",
        "jwt_secret",
    }
