"""A deploy to a host that reaches nothing: all packages come from a bundle."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.cli import ROOT, Deployment, sudo_user
from tests.support.host_image import CACHE
from tests.support.hosts import TESTS, Host, Network
from tests.support.monitoring import metrics
from tests.support.rest import Airflow

PORTS = {"http": 80, "https": 443}
EXPORTERS = "statsd_exporter = postgresql_exporter = [host]\n"
APT_STATE = "find /etc/apt/sources* /var/lib/apt/lists -type f | sort | xargs sha256sum"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host on a network without a way out."""
    with Network(f"{TESTS}-cut-off", internal=True) as network:
        yield network.host("bundle", distribution="bookworm")


def ways_out(host: Host) -> list[str]:
    """List the mirrors and package indexes that a host can reach, by name or by address."""
    configured = "cat /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/pip.conf 2>/dev/null"
    urls = set(re.findall(r"https?://[^/\s]+", host.ssh(configured, check=False).stdout))
    assert urls
    found = []
    for url in map(urlsplit, urls):
        name = url.hostname or ""
        for address in (name, socket.gethostbyname(name)):
            port = url.port or PORTS[url.scheme]
            command = f"timeout 5 bash -c '</dev/tcp/{address}/{port}'"
            if host.ssh(command, check=False).returncode == 0:
                found.append(f"{address}:{port}")
    return found


@pytest.mark.docker
def test_a_host_without_a_way_out_gets_everything_from_a_bundle(host: Host, tmp_path: Path) -> None:
    folder = CACHE / "bundle"  # what the tests before this one have fetched is still there
    words = ["--release", "3.3.2", "--distribution", "Debian 12", "--extra", "statsd"]
    subprocess.run(["scripts/bundle", str(folder), *words], cwd=ROOT, check=True)
    assert ways_out(host) == []
    before = host.ssh(APT_STATE).stdout
    secrets = tmp_path / "secrets.json"
    data = {"airflow_bundle": str(folder), "airflow_secrets_file": str(secrets)}
    inventory = tmp_path / "watched.py"
    inventory.write_text((ROOT / "inventories/single.py").read_text() + EXPORTERS)
    deployment = Deployment(
        str(inventory),
        {**sudo_user(host), **data},
        environment={"AIRFLOW_HOST": host.address},
    )
    _refused_without_its_distribution(host, deployment, folder, tmp_path / "other")

    run = deployment.run()
    assert run.code == 0, run.output
    password = json.loads(secrets.read_text())["airflow_admin_password"]
    airflow = Airflow(host.address, password, "3.3.2")
    assert airflow.run("example_three_tasks")[1] == "success"
    for port, sign in ((9103, "collectd_"), (9187, "pg_up 1")):
        assert sign in metrics(host, port)
    assert deployment.run().changed == []
    assert host.ssh(APT_STATE).stdout == before
    left = host.ssh("ls -d /var/lib/pyinfra-airflow /opt/airflow/wheels", check=False)
    assert left.stdout == ""


def _refused_without_its_distribution(
    host: Host, deployment: Deployment, folder: Path, other: Path
) -> None:
    """Deploy from a bundle with the same .deb files, for a distribution that is not the host's."""
    other.mkdir()
    (other / "wheels").symlink_to(folder / "wheels")
    (other / "debs").mkdir()
    (other / "debs/debian-13").symlink_to(folder / "debs/debian-12")
    refused = deployment.show("-y", airflow_bundle=str(other))
    assert refused.code != 0
    assert "for Debian 12: fill it with scripts/bundle" in refused.output
    assert "Starting operation" not in refused.output
    assert host.ssh("id airflow", check=False).returncode != 0
