"""The environment alone: from constraints, and from an index that wants a login."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pip._internal.models.index import PyPI

from tasks.catalog import releases
from tasks.catalog.locks import parse, render
from tests.support.cli import ROOT, Deployment
from tests.support.hosts import Host, Network

pytestmark = pytest.mark.docker

LOGIN = "somebody:a-login-for-the-index"
INVENTORY = """
hosts = ([{name!r}], {data!r})
postgresql = rabbitmq = api_server = scheduler = dag_processor = worker = [{name!r}]
"""
DEPLOY = "from tasks import deploy_python, deploy_system\n\ndeploy_system()\ndeploy_python()\n"


class Index(BaseHTTPRequestHandler):
    """Serves constraints to anybody, and this machine's package index to those with the login."""

    constraints = ""
    seen: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        if self.path == "/constraints.txt":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.constraints.encode())
        elif self.headers["Authorization"] == f"Basic {base64.b64encode(LOGIN.encode()).decode()}":
            self.seen.append(self.path)
            self.send_response(302)
            self.send_header("Location", PyPI.simple_url.removesuffix("/simple") + self.path)
            self.end_headers()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def index() -> Iterator[int]:
    """Give the port of the index."""
    release = releases.find("3.3.2")
    lock = (ROOT / "files" / release.lock("3.11")).read_text()
    Index.constraints = render(parse(lock, release.extras))
    server = ThreadingHTTPServer(("", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def host(network: Network) -> Iterator[Host]:
    """Give a host whose disk for environments can be made small, and lies in memory."""
    host = network.host("python", distribution="bookworm")
    host.exec("mkdir /opt/airflow && mount -t tmpfs -o size=4G,mode=755 tmpfs /opt/airflow")
    yield host
    network.drop(host)


@pytest.fixture(scope="module")
def deployment(
    network: Network, host: Host, index: int, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    folder = tmp_path_factory.mktemp("python")
    gateway = network.subnet.split("/")[0].rpartition(".")[0] + ".1"
    data = host.data | {
        "airflow_constraints": f"http://127.0.0.1:{index}/constraints.txt",
        "python_index_url": f"http://{LOGIN}@{gateway}:{index}/simple",
        "airflow_secrets_file": str(folder / "secrets.json"),
    }
    (folder / "inventory.py").write_text(INVENTORY.format(name=host.address, data=data))
    (folder / "deploy.py").write_text(DEPLOY)
    return Deployment(str(folder / "inventory.py"), {}, deploy=str(folder / "deploy.py"))


LOCK = """
open(my $file, ">", $ARGV[0]) or die;
my $whole = pack("s s x4 q q i x4", 1, 0, 0, 0, 0);
fcntl($file, 6, $whole) or die "$ARGV[0] is locked: $!";
sleep 10;
"""


@pytest.mark.parametrize("lock", ["/var/lib/apt/lists/lock", "/var/lib/dpkg/lock-frontend"])
def test_who_holds_apt_s_lock_is_waited_for_and_an_index_out_of_reach_is_told(
    deployment: Deployment, host: Host, lock: str
) -> None:
    host.ssh("rm -f /var/lib/apt/periodic/*; cat > /root/lock.pl", input=LOCK)
    host.ssh(f"setsid perl /root/lock.pl {lock} </dev/null >/dev/null 2>&1 & sleep 1; pgrep perl")
    run = deployment.show("-y", python_index_url="http://127.0.0.1:9/simple")
    assert host.ssh("dpkg-query -Wf '${db:Status-Status}' python3-venv").stdout == "installed"
    assert run.code != 0
    assert "if the package index is out of reach, set python_index_url" in run.output
    host.ssh("apt-get purge -qq -y python3-venv")


def test_constraints_do_instead_of_a_lock(deployment: Deployment, host: Host) -> None:
    run = deployment.show("-y", "-vvv")
    assert run.code == 0, run.output
    assert LOGIN.split(":")[1] not in run.output
    assert any("apache-airflow/" in path for path in Index.seen)
    version = host.ssh("AIRFLOW_HOME=/tmp/a /opt/airflow/current/bin/airflow version").stdout
    assert version.splitlines()[-1] == "3.3.2"
    assert deployment.dry().planned == []


def test_what_the_constraints_made_is_then_kept(deployment: Deployment, host: Host) -> None:
    uv = "/opt/airflow/bootstrap/bin/uv pip"
    host.ssh(f"{uv} uninstall --python /opt/airflow/current flower")
    host.ssh(f"{uv} install --python /opt/airflow/current --system-certs cowsay")
    mended = ["Python | Create the environment of Airflow 3.3.2"]
    plan, run = deployment.dry(), deployment.run()
    assert (plan.planned, run.changed, deployment.dry().planned) == (mended, mended, [])
    listed = host.ssh(f"{uv} list --format json --python /opt/airflow/current").stdout
    names = {distribution["name"] for distribution in json.loads(listed)}
    assert "flower" in names
    assert "cowsay" not in names


def test_requirements_are_installed_within_the_lock_or_refused(
    deployment: Deployment, host: Host, tmp_path: Path
) -> None:
    data = {**host.data, "airflow_secrets_file": str(tmp_path / "secrets.json")}
    (tmp_path / "inventory.py").write_text(INVENTORY.format(name=host.address, data=data))
    locked = replace(deployment, inventory=str(tmp_path / "inventory.py"))
    before = host.ssh("ls /opt/airflow; readlink /opt/airflow/current").stdout
    refused = locked.show("-y", airflow_requirements="celery<5")
    assert "airflow_requirements has celery<5, but the lock of Airflow 3.3.2 pins" in refused.output
    assert host.ssh("ls /opt/airflow; readlink /opt/airflow/current").stdout == before

    good = {"airflow_requirements": "cowsay>=6,<7\njinja2"}
    plan, run = locked.dry(**good), locked.run(**good)
    assert plan.planned == run.changed
    assert locked.dry(**good).planned == []
    uv = "/opt/airflow/bootstrap/bin/uv pip"
    listed = host.ssh(f"{uv} list --format json --python /opt/airflow/current").stdout
    have = {each["name"]: each["version"] for each in json.loads(listed)}
    lock = parse((ROOT / "files" / releases.find("3.3.2").lock("3.11")).read_text(), ())
    assert have.pop("cowsay").startswith("6.")
    assert lock.items() <= have.items()

    # A release of long ago, which needs a celery that the lock has not.
    linked = host.ssh("readlink /opt/airflow/current").stdout
    torn = locked.show("-y", airflow_requirements="django-celery==3.3.1")
    assert torn.code != 0
    assert "celery" in torn.output.partition("No solution found")[2]
    assert host.ssh("readlink /opt/airflow/current").stdout == linked
    assert deployment.run().changed == ["Python | Point current to the environment"]
    host.ssh(
        "cd /opt/airflow && ls -d 3.3.2-* | grep -v $(basename $(readlink current)) | xargs rm -r"
    )


def test_with_a_full_disk_the_old_release_stays(deployment: Deployment, host: Host) -> None:
    before = host.ssh("readlink /opt/airflow/current").stdout
    host.ssh("mount -o remount,size=$(($(du -sm /opt/airflow | cut -f1) + 40))M /opt/airflow")
    run = deployment.show("-y", airflow_extras="slack")
    assert run.code != 0
    assert "No space left on device" in run.output
    assert re.search(r"could not be installed, with *[0-9.]+[KM]? free on the disk", run.output)
    assert host.ssh("readlink /opt/airflow/current").stdout == before
    command = "AIRFLOW_HOME=/tmp/a /opt/airflow/current/bin/airflow version"
    assert "3.3.2" in host.ssh(command).stdout
    host.ssh("mount -o remount,size=4G /opt/airflow")
    assert deployment.run(airflow_extras="slack").code == 0
    assert deployment.dry(airflow_extras="slack").planned == []
    assert host.ssh("readlink /opt/airflow/current").stdout != before


def test_a_host_two_hours_ahead_is_refused(deployment: Deployment, host: Host) -> None:
    host.ssh("DEBIAN_FRONTEND=noninteractive apt-get install -y -qq faketime >/dev/null 2>&1")
    # The clock of what comes in over SSH: the machine's own is everybody's.
    library = host.ssh("ls /usr/lib/*/faketime/libfaketime.so.1").stdout.strip()
    host.exec(f"printf 'LD_PRELOAD={library}\\nFAKETIME=+2h\\n' > /etc/environment")
    run = deployment.show("-y")
    host.exec("rm /etc/environment")
    assert run.code != 0
    assert re.search(r"the clock of .* is 7[12]\d\d s ahead of this machine's", run.output)
    assert "Starting operation" not in run.output
    assert deployment.run(airflow_extras="slack").code == 0


def test_constraints_that_can_not_be_read_are_refused(deployment: Deployment) -> None:
    run = deployment.show("-y", airflow_constraints=str(Path("/no/such/constraints.txt")))
    assert run.code != 0
    assert "airflow_constraints can't be read: No such file or directory" in run.output
    assert "Traceback" not in run.output
