"""The web edge without any host: who may come where, and certificates."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from tasks import Settings, SettingsError
from tasks.addresses import EVERYBODY
from tasks.airflow import airflow_cfg
from tasks.airflow.services import unit_text
from tasks.catalog.releases import GROUPS
from tasks.servers import proxy
from tasks.servers.firewall import allowed, rules_text
from tasks.settings import certificates
from tests.support import made_up

ROOT = Path(__file__).resolve().parents[2]
ALL = list(EVERYBODY)


def prod(secrets: Path, name: str, **data: Any) -> Settings:
    """Read the settings of a host of the example; addresses are its names."""
    inventory = runpy.run_path(str(ROOT / "inventories/prod.py"))
    _, common = inventory["hosts"]
    groups = {group: inventory[group] for group in GROUPS if group in inventory}
    common = {key: value for key, value in common.items() if key != "airflow_dags"}
    ours = made_up.host(groups, name, **{**common, "airflow_secrets_file": secrets, **data})
    return Settings.of(ours)


AIRFLOW = ["web1", "scheduler1", "worker1", "worker2"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data1", {5432: ["scheduler1"], 5672: AIRFLOW, 6432: AIRFLOW}),
        ("web1", {8080: ["worker1", "worker2"], 443: ALL, 80: ALL}),
        ("scheduler1", {8794: ["web1"]}),
        ("worker1", {8793: ["web1"]}),
        ("worker2", {8793: ["web1"]}),
    ],
)
def test_a_host_of_the_example_opens_what_the_others_need(
    tmp_path: Path, name: str, expected: dict[int, list[str]]
) -> None:
    found = allowed(prod(tmp_path / "s", name))
    assert {port: sorted(hosts) for port, hosts in found.items()} == {
        port: sorted(hosts) for port, hosts in expected.items()
    }


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {}),
        ({"firewall": True}, {8080: ALL}),
        ({"firewall": True, "airflow_web_host": "127.0.0.1"}, {}),
        ({"firewall": True, "airflow_flower_host": "0.0.0.0"}, {8080: ALL, 5555: ALL}),
        (
            {"firewall": True, "firewall_allow": {9100: "10.0.0.1", 5432: ["10.0.0.2"]}},
            {5432: ["10.0.0.2"], 8080: ALL, 9100: ["10.0.0.1"]},
        ),
        ({"rabbitmq_allow": "10.0.0.0/8"}, {5672: ["10.0.0.0/8"]}),
    ],
)
def test_a_single_host_opens_what_is_asked_for(
    tmp_path: Path, data: dict[str, Any], expected: dict[int, list[str]]
) -> None:
    assert allowed(made_up.settings(tmp_path / "s", **data)) == expected


def test_without_the_firewall_the_ports_between_hosts_are_guarded_alone(tmp_path: Path) -> None:
    web = prod(tmp_path / "s", "web1", firewall=False)
    assert set(allowed(web)) == {8080}
    assert "policy accept" in rules_text(web, ())
    assert set(allowed(prod(tmp_path / "s", "data1", firewall=False))) == {5672, 6432}


def test_ssh_is_for_everybody_or_for_the_networks_that_are_named(tmp_path: Path) -> None:
    everybody = rules_text(prod(tmp_path / "s", "data1"), (22, 2222))
    assert "tcp dport { 22, 2222 } ip saddr 0.0.0.0/0 accept" in everybody
    assert "tcp dport { 22, 2222 } ip6 saddr ::/0 accept" in everybody
    named = rules_text(prod(tmp_path / "s", "data1", firewall_allow_ssh="10.0.0.0/8"), (22,))
    lines = [line.strip() for line in named.splitlines() if " 22 " in line]
    assert lines == ["tcp dport { 22 } ip saddr 10.0.0.0/8 accept"]


def test_behind_a_proxy_the_web_ui_listens_where_it_is_needed(tmp_path: Path) -> None:
    web, worker = prod(tmp_path / "s", "web1"), prod(tmp_path / "s", "worker1")
    assert web.airflow_web_host == "web1"
    assert airflow_cfg.base_url(worker) == "https://web1"
    assert airflow_cfg.api_url(worker) == "http://web1:8080"
    assert proxy.servers(web) == ["web1:8080"]
    old = prod(tmp_path / "s", "web1", airflow_version="2.11.2", proxy_port=8443)
    assert old.airflow_web_host == "127.0.0.1"  # its workers don't call it
    assert airflow_cfg.base_url(old) == "https://web1:8443"
    assert airflow_cfg.sections(old)["webserver"]["enable_proxy_fix"] == "True"
    named = prod(tmp_path / "s", "worker1", proxy_server_name="airflow.example.com")
    assert airflow_cfg.base_url(named) == "https://airflow.example.com"
    assert named.topology.proxy_names == ("airflow.example.com", "web1")


def test_a_web_host_believes_its_proxies_alone(tmp_path: Path) -> None:
    groups = made_up.everything("192.0.2.1")
    groups |= {"proxy": ["192.0.2.2", "192.0.2.3"]}
    data = {"airflow_secrets_file": tmp_path / "s"}
    web = made_up.fitted(Settings.of(made_up.host(groups, "192.0.2.1", **data)), made_up.MACHINE)
    believed = airflow_cfg.environment(web)["FORWARDED_ALLOW_IPS"]
    assert believed == "127.0.0.1,::1,192.0.2.2,192.0.2.3"
    assert "--proxy-headers" in unit_text(web, web.release.web)
    assert allowed(web)[8080] == ["192.0.2.2", "192.0.2.3"]
    assert "FORWARDED_ALLOW_IPS" not in airflow_cfg.environment(prod(tmp_path / "s", "worker1"))


@pytest.mark.parametrize("port", [{"proxy_port": 8080}, {"proxy_http_port": 443}])
def test_two_servers_on_one_port_are_refused(tmp_path: Path, port: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="is used twice on web1"):
        prod(tmp_path / "s", "web1", **port)


def test_a_proxy_before_nothing_is_refused(tmp_path: Path) -> None:
    groups = {"postgresql": ["a"], "rabbitmq": ["a"], "proxy": ["a"]}
    with pytest.raises(SettingsError, match="put a host in the group api_server"):
        Settings.of(made_up.host(groups, "a", airflow_secrets_file=tmp_path / "s"))


def test_the_site_of_a_given_certificate_insists_on_tls(tmp_path: Path) -> None:
    pair = certificates.issued(tmp_path / "own", "own", ["web1"])
    given = {"proxy_certificate": pair.certificate, "proxy_certificate_key": pair.key}
    assert "max-age=31536000" in proxy.site(prod(tmp_path / "s", "web1", **given))
    off = prod(tmp_path / "s", "web1", **given, proxy_hsts_days=0, proxy_http_port=0)
    assert "Strict-Transport-Security" not in proxy.site(off)
    assert "listen 80" not in proxy.site(off)
    assert "Strict-Transport-Security" not in proxy.site(prod(tmp_path / "s", "web1"))
