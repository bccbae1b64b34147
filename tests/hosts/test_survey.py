"""What is on a host already is left as it is, and a run that would harm it is refused before."""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.cli import ROOT, Deployment, Run
from tests.support.handmade import HOME, Handmade, make
from tests.support.hosts import Host, Image, Network
from tests.support.rest import Airflow
from tests.support.verify import verify
from tests.support.waiting import until

pytestmark = pytest.mark.docker

RELEASE = "2.11.2"
# What a run could change, by name, size, owner and time; servers write below /var by themselves.
LISTING = (
    "find /etc /opt /usr /home /root /var/lib/dpkg /var/backups \\( -path /root/.cache"
    " -o -path '*/airflow/logs' -o -name __pycache__ -o -name '*.pid' \\) -prune"
    " -o -type f -printf '%p %T@ %s %m %U\\n' | sort"
)
EXTERNAL = "postgresql://airflow:{password}@{address}/airflow"


@dataclass(frozen=True)
class Old:
    """A hand-made Airflow that hosts are copied from."""

    made: Handmade
    image: Image
    archive: Path
    """What docs/existing.md makes of it."""

    def copy(self, network: Network, name: str) -> Handmade:
        """Start another host with it."""
        copied = replace(self.made, host=network.copy(self.image, name))
        copied.start()
        return copied


def documented() -> str:
    """Give the commands with which the docs make an archive."""
    text = (ROOT / "docs/existing.md").read_text()
    (script,) = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return str(script)


@pytest.fixture(scope="module")
def old(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Old:
    host = network.host("old", distribution="bookworm")
    made = make(host, nginx=True, cron=True, shop=True)
    made.host.ssh("bash", input=documented())
    archive = tmp_path_factory.mktemp("archive") / "airflow-archive.tar"
    stream, _ = made.host.container.get_archive("/root/airflow-archive.tar")
    packed = archive.with_name("packed.tar")
    packed.write_bytes(b"".join(stream))
    with tarfile.open(packed) as tar:
        tar.extractall(archive.parent, filter="data")
    return Old(made, network.keep(made.host), archive)


@pytest.fixture
def there(old: Old, network: Network) -> Iterator[Handmade]:
    """A host on which the hand-made Airflow works."""
    made = old.copy(network, "there")
    yield made
    network.drop(made.host)


@pytest.fixture
def bare(network: Network) -> Iterator[Host]:
    host = network.host("bare", distribution="bookworm")
    yield host
    network.drop(host)


def deployment(host: Host, folder: Path, deploy: str = "deploy.py", **data: Any) -> Deployment:
    """Give a deployment with README's inventory, and with `without` of its groups left out."""
    text = (ROOT / "inventories/single.py").read_text() + data.pop("further", "")
    for group in data.pop("without", ()):
        text = text.replace(f"{group} = ", "", 1)
    inventory = folder / "single.py"
    inventory.write_text(text)
    given = {**host.data, "airflow_dags": str(ROOT / "files/dags"), **data}
    environment = {"AIRFLOW_HOST": host.address, "AIRFLOW_VERSION": RELEASE}
    return Deployment(str(inventory), given, environment, deploy)


def refused(deployment: Deployment, *sentences: str) -> Run:
    """See that plan and run are refused in these words, and that no step was begun."""
    for options in (["--dry"], ["-y", "-vvv", "--diff"]):
        run = deployment.show(*options)
        assert run.code != 0, run.output
        for sentence in sentences:
            assert sentence in run.output
        assert "Starting operation" not in run.output
        assert "Traceback" not in run.output
    return run


def test_an_airflow_of_somebody_is_left_as_it_is(there: Handmade, old: Old, tmp_path: Path) -> None:
    before = there.snapshot()
    listed = there.host.ssh(LISTING).stdout
    host = there.host.address
    said = refused(
        deployment(there.host, tmp_path),
        f"{host} already runs another Airflow (Airflow 2.10.3 to 2.11.2, 3 connections,",
        "scheduler of user ubuntu",
        f"AIRFLOW_HOME {HOME}",
        f'{host} has a RabbitMQ node rabbit@old with data: set rabbitmq_node_name = "rabbit@old"',
    )
    assert there.leaked(said.output) == []
    restore = deployment(there.host, tmp_path, "tasks.deploy_restore")
    restore.data["airflow_restore"] = str(old.archive)
    refused(restore, "set airflow_restore_over = True to replace the data, after a backup")
    refused(deployment(there.host, tmp_path, airflow_home=HOME), f"{HOME}/airflow.cfg that this")
    uninstall = deployment(there.host, tmp_path, "tasks.deploy_uninstall")
    refused(uninstall, "has files in this package's folders that it did not put there")
    assert there.snapshot() == before
    assert there.host.ssh(LISTING).stdout == listed
    there.works()


@pytest.mark.sweep
@pytest.mark.parametrize(("release", "daemons"), [("2.11.2", True), ("3.3.2", False)])
def test_whoever_runs_it_and_of_whichever_release(
    network: Network, tmp_path: Path, release: str, daemons: bool
) -> None:
    made = make(network.host("other", distribution="bookworm"), release, daemons=daemons)
    before = made.snapshot()
    deploy = deployment(made.host, tmp_path)
    deploy.environment["AIRFLOW_VERSION"] = release
    said = refused(deploy, "already runs another Airflow (Airflow ", "scheduler of user")
    assert made.leaked(said.output) == []
    assert made.snapshot() == before
    made.works()
    network.drop(made.host)


def test_a_database_that_another_airflow_uses_is_left_as_it_is(
    there: Handmade, old: Old, bare: Host, tmp_path: Path
) -> None:
    password = there.secrets["postgresql"].replace("@", "%40")
    url = EXTERNAL.format(password=password, address=there.host.address)
    before = there.snapshot()
    listed = bare.ssh(LISTING).stdout
    deploy = deployment(bare, tmp_path, without=["postgresql"], postgresql_url=url)
    said = refused(
        deploy,
        "is in use by another Airflow (Scheduler on old of user ubuntu, heartbeat",
        "6 of 6 stored secrets don't decrypt with airflow_fernet_key",
    )
    assert there.leaked(said.output) == []
    restore = replace(deploy, deploy="tasks.deploy_restore")
    restore.data["airflow_restore"] = str(old.archive)
    refused(restore, "set airflow_restore_over = True to replace the data, after a backup")
    over = {**restore.data, "airflow_restore_over": True}
    refused(replace(restore, data=over), "is in use by another Airflow")
    newer = replace(deploy, environment={**deploy.environment, "AIRFLOW_VERSION": "3.3.2"})
    refused(newer, "is in use by another Airflow")
    silent = url.replace(there.host.address, f"{there.host.address}:9")
    refused(
        deployment(bare, tmp_path, without=["postgresql"], postgresql_url=silent),
        "can't be asked for its contents",
    )
    assert bare.ssh(LISTING).stdout == listed
    assert there.snapshot() == before
    there.works()


def test_the_documented_way_brings_an_airflow_to_a_new_host(
    old: Old, bare: Host, tmp_path: Path
) -> None:
    deploy = deployment(bare, tmp_path, "tasks.deploy_restore")
    run = deploy.show("-y", airflow_restore=str(old.archive))
    assert run.code == 0, run.output
    assert old.made.leaked(run.output) == []
    active = bare.ssh("cat /var/backups/airflow/active-dags.txt").stdout.split()
    assert active == ["example_three_tasks"]
    moved = replace(old.made, host=bare)
    assert moved.sql("SELECT is_paused FROM dag WHERE dag_id = 'example_three_tasks'") == ["t"]
    shown = bare.ssh("airflow connections get mart -o json && airflow variables get token").stdout
    assert old.made.secrets["connection mart"] in shown
    assert old.made.secrets["variable token"] in shown
    assert verify(replace(deploy, deploy="deploy.py")).wrong == set()
    assert replace(deploy, deploy="deploy.py").run().changed == []
    bare.ssh("xargs -n 1 airflow dags unpause < /var/backups/airflow/active-dags.txt")
    password = json.loads((tmp_path / f".secrets/{bare.address}.json").read_text())
    airflow = Airflow(bare.address, password["airflow_admin_password"], RELEASE)
    assert airflow.run("example_three_tasks")[1] == "success"


CONSENT: dict[str, Any] = {
    "airflow_adopt": True,
    "airflow_home": HOME,
    "airflow_hardening": False,
    "rabbitmq_node_name": "rabbit@old",
}
CRONTAB = "/var/spool/cron/crontabs/ubuntu"
LEFT = """
echo '/home/ubuntu/airflow/logs/*.log { weekly }' > /etc/logrotate.d/flow
printf '%s\n' '1 1 * * * root true' '2 2 * * * ubuntu airflow db clean' > /etc/cron.d/flow
printf '[Unit]\nDescription=clean airflow\n[Timer]\nOnCalendar=daily\n' \\
    > /etc/systemd/system/flow.timer
printf '[Install]\nWantedBy=timers.target\n' >> /etc/systemd/system/flow.timer
printf '[Service]\nExecStart=true\n' > /etc/systemd/system/flow.service
systemctl enable -q flow.timer
"""
KEPT = "cd /var/backups/airflow-replaced/* && find . -type f | cut -c 2- | sort"


def test_what_has_ended_is_used_by_consent_and_kept(there: Handmade, tmp_path: Path) -> None:
    # Its watchdog would start it again.
    units = "airflow-webserver airflow-scheduler airflow-worker"
    there.host.ssh(f"systemctl stop cron; systemctl disable -q --now {units}")
    there.host.ssh("bash", input=LEFT)
    alive = "SELECT 1 FROM job WHERE latest_heartbeat > now() - interval '1 minute'"
    until(lambda: there.sql(alive) == [], 120, "the old scheduler's heartbeats are old")
    deploy = deployment(there.host, tmp_path, further="proxy = [host]\n", **CONSENT)
    refused(deploy, "6 of 6 stored secrets don't decrypt with airflow_fernet_key")
    deploy.environment["AIRFLOW_FERNET_KEY"] = there.secrets["fernet_key"]
    plan = deploy.show("--dry", "--diff")
    old = there.host.ssh(f"cat {HOME}/airflow.cfg").stdout
    run = deploy.show("-y", "--diff", "-vvv")
    assert (plan.code, run.code) == (0, 0), run.output
    for said in (plan.output, run.output):
        assert there.leaked(said) == []
        assert "role airflow: password; loses SUPERUSER, CREATEDB" in said
        assert "replaces a file that this package did not write; its text is not shown" in said
        assert "Disable jobs that mention Airflow in /var/spool/cron/crontabs/ubuntu" in said
        assert "/etc/logrotate.d/flow mentions Airflow: make sure" in said
        assert "Remove /etc/nginx/sites-enabled/default, which bypass the proxy" in said
    kept = there.host.ssh(KEPT).stdout.split()
    assert {f"{HOME}/airflow.cfg", CRONTAB, "/etc/nginx/sites-enabled/default"} <= set(kept)
    jobs = there.host.ssh("crontab -u ubuntu -l; cat /etc/cron.d/flow").stdout.splitlines()
    assert [line for line in jobs if not line.startswith("#")] == ["1 1 * * * root true"]
    assert there.host.ssh("systemctl is-enabled flow.timer", check=False).stdout == "disabled\n"
    plain = requests.get(f"http://{there.host.address}/", allow_redirects=False, timeout=30)
    assert plain.headers["location"].startswith("https://")
    assert "/etc/systemd/system/airflow-scheduler.service" in kept
    for path in kept:
        assert f"kept the previous {path} in /var/backups/airflow-replaced/" in run.output
    folder = "/var/backups/airflow-replaced"
    assert there.host.ssh(f"cat {folder}/*{HOME}/airflow.cfg").stdout == old
    modes = there.host.ssh(f"find {folder} -printf '%U%m\\n' | sort -u").stdout.split()
    assert modes == ["0600", "0700"]
    shown = there.host.ssh("airflow connections get mart -o json").stdout
    assert there.secrets["connection mart"] in shown
    assert verify(deploy).wrong <= {"open ports"}
    assert deploy.run().changed == []


TAKEN = """
cat > /etc/systemd/system/{unit} <<'END'
[Service]
ExecStart=/usr/bin/perl -MIO::Socket::INET -e \
    'my $s = IO::Socket::INET->new(LocalPort => {port}, Listen => 5); sleep 1e6'
END
systemctl daemon-reload && systemctl start {unit}
"""
STATES = {
    "a port": (TAKEN.format(unit="shop.service", port=8080), "of shop.service): stop it, or set"),
    "a login": ("useradd --create-home --shell /bin/bash airflow", "an account airflow that"),
    "an account in use": (
        "useradd --system --home /srv/flow --shell /usr/sbin/nologin airflow; cd /;"
        " setsid -f runuser -u airflow sleep 1e6 </dev/null >/dev/null 2>&1",
        "while it is in use (process ",
    ),
    "a unit": (TAKEN.format(unit="airflow-scheduler.service", port=99), "units of an Airflow"),
    "a folder": ("install -d -o games /var/log/airflow{,/old}", "files of the user games"),
    "a virtual environment": ("mkdir -p /opt/airflow && > /opt/airflow/pyvenv.cfg", "pyvenv.cfg)"),
    "a configuration": (
        "mkdir /etc/airflow; > /etc/airflow/airflow.cfg",
        "/etc/airflow/airflow.cf",
    ),
}
UNDO = """
systemctl stop shop.service airflow-scheduler.service; rm -f /etc/systemd/system/*shop.service \
    /etc/systemd/system/airflow-scheduler.service; systemctl daemon-reload
pkill -u airflow; userdel -r airflow; rm -rf /var/log/airflow /opt/airflow /etc/airflow
true
"""


def test_what_somebody_has_made_on_a_host_is_not_taken(bare: Host, tmp_path: Path) -> None:
    for make_it, sentence in STATES.values():
        bare.ssh("bash", input=make_it)
        listed = bare.ssh(LISTING).stdout
        refused(deployment(bare, tmp_path), sentence)
        assert bare.ssh(LISTING).stdout == listed
        bare.ssh("bash", input=UNDO)


def test_a_server_of_others_is_left_to_them(bare: Host, tmp_path: Path) -> None:
    bare.ssh(
        "DEBIAN_FRONTEND=noninteractive apt-get update -qq"
        " && apt-get install -y -qq postgresql >/dev/null 2>&1"
        " && cd / && runuser -u postgres -- createdb shop"
    )
    listed = bare.ssh(LISTING).stdout
    refused(deployment(bare, tmp_path), "has a PostgreSQL that also has other databases (shop)")
    assert bare.ssh(LISTING).stdout == listed
    bare.ssh("systemctl stop postgresql")
    refused(
        deployment(bare, tmp_path, airflow_adopt=True),
        "its contents can't be read (PostgreSQL does not answer): start it",
    )
