"""A deploy without a package index: its packages come from a wheelhouse."""

import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.cli import ROOT, Deployment
from tests.support.hosts import Host, Network

pytestmark = pytest.mark.docker

INVENTORY = """
hosts = ([{name!r}], {data!r})
postgresql = rabbitmq = {web} = scheduler = {more}worker = [{name!r}]
"""

DEPLOY = "from tasks import deploy_python, deploy_system\n\ndeploy_system()\ndeploy_python()\n"

# What is left of the world are apt's archives; what other tests have fetched is out of sight too.
CUT_OFF = r"""
for name in $(grep -rhoE 'https?://[^/: "]+' /etc/apt | sed 's#.*/##' | sort -u); do
    getent hosts "$name" >> /etc/hosts
done
echo 'nameserver 127.0.0.1' > /etc/resolv.conf
umount /root/.cache/pip /root/.cache/uv
"""

FETCH = """
import re, sys, urllib.request
for link in re.findall('href="([^"]+)"', urllib.request.urlopen(sys.argv[1]).read().decode()):
    urllib.request.urlretrieve(sys.argv[1] + link, urllib.request.unquote(link))
"""

CASES = [("3.3.2", "Debian 12", "bookworm"), ("1.8.2", "Debian 11", "bullseye")]


def fill(release: str, distribution: str, folder: Path) -> None:
    """Fill a wheelhouse as a user does."""
    command = ["scripts/wheelhouse", release, distribution, str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.mark.sweep  # test_bundle deploys from a folder of wheels
@pytest.mark.parametrize(("release", "distribution", "codename"), CASES)
def test_a_host_without_an_index_gets_its_environment(
    network: Network, tmp_path: Path, release: str, distribution: str, codename: str
) -> None:
    wheels = tmp_path / "wheels"
    fill(release, distribution, wheels)
    host = network.host(f"wheels-{codename}", distribution=codename)
    host.ssh(CUT_OFF)
    deployment = _deployment(host, release, tmp_path)
    assert "could not be installed" in deployment.show("-y").output
    run = deployment.run(airflow_wheelhouse=str(wheels))
    assert run.code == 0, run.output
    version = host.ssh("AIRFLOW_HOME=/tmp/a /opt/airflow/current/bin/airflow version").stdout
    assert release in version
    assert host.ssh("ls /opt/airflow/wheels", check=False).returncode != 0
    assert deployment.dry(airflow_wheelhouse=str(wheels)).planned == []
    if release == "3.3.2":  # what a host fetches itself is the same for every release
        _by_address(network, host, deployment, wheels)
    network.drop(host)


def _by_address(network: Network, host: Host, deployment: Deployment, wheels: Path) -> None:
    """Make the environment again from a page of links, and from a folder on the host."""
    server = ThreadingHTTPServer(("", 0), partial(SimpleHTTPRequestHandler, directory=str(wheels)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = f"http://{network.gateway}:{server.server_port}/"
    host.ssh(f"cd /srv && python3 - {page}", input=FETCH)
    for place in (page, "file:///srv"):
        host.ssh("rm -rf /opt/airflow/bootstrap /opt/airflow/3.3.2-*")
        run = deployment.run(airflow_wheelhouse=place)
        assert run.code == 0, run.output
        assert deployment.dry(airflow_wheelhouse=place).planned == []
    server.shutdown()


def _deployment(host: Host, release: str, folder: Path) -> Deployment:
    data = host.data | {
        "airflow_version": release,
        "airflow_secrets_file": str(folder / "secrets.json"),
    }
    web, more = ("api_server", "dag_processor = ") if release[0] == "3" else ("webserver", "")
    text = INVENTORY.format(name=host.address, data=data, web=web, more=more)
    (folder / "inventory.py").write_text(text)
    (folder / "deploy.py").write_text(DEPLOY)
    return Deployment(str(folder / "inventory.py"), {}, deploy=str(folder / "deploy.py"))
