"""A database and a broker that are not ours: `postgresql_url`, `rabbitmq_url`, `redis_url`."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tasks.settings import certificates
from tests.support.cli import ROOT, Deployment, Run, sudo_user
from tests.support.hosts import Host, Network
from tests.support.monitoring import metrics
from tests.support.receivers import Receivers
from tests.support.reports import check_server_reports
from tests.support.rest import Airflow
from tests.support.verify import verify

pytestmark = pytest.mark.docker

PASSWORD = "p@ss/w:rd%2F#?"
QUOTED = "p%40ss%2Fw%3Ard%252F%23%3F"
SERVERS = """
hosts = [{name!r}]
postgresql = rabbitmq = redis = hosts
postgresql_exporter = rabbitmq_exporter = hosts
"""
REPORTS = "/etc/airflow/reports.env"
ADMINISTRATORS = """
set -e
su postgres -c 'psql -q' <<< "CREATE ROLE boss LOGIN CREATEROLE CREATEDB PASSWORD 'let-me-in'"
for file in /etc/postgresql/*/main/pg_hba.conf; do
    echo 'hostssl all all samenet scram-sha-256' >> $file
done
systemctl reload postgresql
rabbitmq-plugins -q enable rabbitmq_management </dev/null
rabbitmqctl -q add_user boss let-me-in </dev/null
rabbitmqctl -q set_user_tags boss administrator </dev/null
"""


@dataclass
class Stack:
    """A host with servers, and one that runs Airflow with them."""

    servers: Host
    below: Deployment
    """That of the servers."""
    host: Host
    deployment: Deployment
    airflow: Airflow
    refused: Run
    administrators: dict[str, str]
    first_run: Run

    def psql(self, query: str) -> list[str]:
        """Ask the database's server."""
        psql = f'cd / && runuser -u postgres -- psql -XqAt -c "{query}"'
        return self.servers.ssh(psql).stdout.split()


@pytest.fixture(scope="module")
def stack(
    network: Network, receivers: Receivers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("foreign")
    servers = network.host("servers", distribution="bookworm")
    host = network.host("flow", distribution="bookworm")
    below = _deploy_servers(servers, host, receivers, folder)
    ca = certificates.folder(folder / ".secrets/servers.json") / "ca.crt"
    inventory = folder / "flow.py"
    text = (ROOT / "inventories/single.py").read_text()
    inventory.write_text(text.replace("postgresql = rabbitmq = [host]\n", ""))
    place = servers.address
    deployment = Deployment(
        str(inventory),
        {
            **sudo_user(host),
            "airflow_dags": str(ROOT / "files/dags"),
            "postgresql_url": f"postgresql://flow:{QUOTED}@{place}/flow?sslmode=verify-full",
            "postgresql_ca": str(ca),
            "postgresql_results_user": "flow_results",
            "postgresql_results_database": "flow_results",
            "rabbitmq_url": f"amqps://flow:{QUOTED}@{place}/flow",
            "rabbitmq_ca": str(ca),
        },
        environment={"AIRFLOW_HOST": host.address},
    )
    refused = deployment.show("-y")
    administrators = {
        "postgresql_admin_url": f"postgresql://boss:let-me-in@{place}/postgres",
        "rabbitmq_admin_url": f"http://boss:let-me-in@{place}:15672",
    }
    run = deployment.run(**administrators)
    assert run.code == 0, run.output
    secrets = json.loads((folder / f".secrets/{host.address}.json").read_text())
    airflow = Airflow(host.address, secrets["airflow_admin_password"], "3.3.2")
    yield Stack(servers, below, host, deployment, airflow, refused, administrators, run)
    network.drop(host)
    network.drop(servers)


def _deploy_servers(servers: Host, host: Host, receivers: Receivers, folder: Path) -> Deployment:
    """Deploy database and brokers with TLS."""
    inventory = folder / "servers.py"
    inventory.write_text(SERVERS.format(name=servers.address))
    names = ("postgresql", "rabbitmq", "redis")
    deployment = Deployment(
        str(inventory),
        {
            **servers.data,
            **{f"{name}_allow": [host.address] for name in names},
            **{f"{name}_tls": True for name in names},
            "redis_password": PASSWORD,
            **receivers.settings,
        },
    )
    plan, run = deployment.dry(), deployment.run()
    assert run.code == 0, run.output
    assert plan.planned == run.changed
    assert deployment.run().changed == []
    servers.ssh("bash", input=ADMINISTRATORS)
    return deployment


def test_what_is_missing_is_named_with_its_mend(stack: Stack) -> None:
    said = stack.refused.output
    assert stack.refused.code != 0
    assert "CREATE ROLE flow LOGIN" in said
    assert "CREATE DATABASE flow_results OWNER flow_results" in said
    assert "create the virtual host flow and the user flow with all permissions" in said
    assert PASSWORD not in said
    assert QUOTED not in said


def test_what_is_missing_is_made_by_an_administrators_login(stack: Stack) -> None:
    assert "Foreign servers | Prepare postgresql and rabbitmq" in stack.first_run.changed
    owner = "SELECT datname, rolname FROM pg_database d JOIN pg_roles r ON r.oid = datdba"
    assert {"flow|flow", "flow_results|flow_results"} <= set(stack.psql(owner))
    assert stack.psql("SELECT rolname FROM pg_roles WHERE rolsuper") == ["postgres"]
    permissions = stack.servers.ssh("rabbitmqctl -q list_permissions -p flow").stdout
    assert "flow\t.*\t.*\t.*" in permissions


def test_exporters_watch_servers_without_airflow_beside_them(stack: Stack) -> None:
    assert "pg_up 1" in metrics(stack.servers, 9187)
    assert "rabbitmq_build_info" in metrics(stack.servers, 15692)


def test_nothing_of_ours_is_installed_for_them(stack: Stack) -> None:
    packages = stack.host.ssh("dpkg-query -W -f '${Package}\\n'").stdout.split()
    assert {"postgresql", "rabbitmq-server", "redis-server"}.isdisjoint(packages)


def test_every_connection_is_encrypted_and_a_dag_runs(stack: Stack) -> None:
    assert stack.airflow.run("example_three_tasks")[1] == "success"
    ssl = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename IN"
    assert stack.psql(f"{ssl} ('flow', 'flow_results')") == ["t"]
    listed = stack.servers.ssh("rabbitmqctl -q list_connections user ssl").stdout.split("\n")
    assert {line for line in listed if line.startswith("flow")} == {"flow\ttrue"}
    # Nobody who speaks without encryption gets as far as a password.
    plain = f"timeout 5 bash -c '</dev/tcp/{stack.servers.address}/5672'"
    assert stack.host.ssh(plain, check=False).returncode != 0
    assert verify(stack.deployment).wrong == set()


def test_the_second_run_changes_nothing(stack: Stack) -> None:
    assert stack.deployment.dry().planned == []
    assert stack.deployment.run().changed == []


def test_a_certificate_of_somebody_else_is_not_believed(stack: Stack, tmp_path: Path) -> None:
    stranger = str(certificates.authority(tmp_path).certificate)
    run = stack.deployment.show("-y", postgresql_ca=stranger, rabbitmq_ca=stranger)
    assert run.code != 0
    assert "postgresql does not let Airflow in" in run.output
    assert "certificate verify failed" in run.output
    back = stack.deployment.run()
    assert back.code == 0, back.output


def test_a_backup_holds_the_foreign_database(stack: Stack) -> None:
    made = stack.host.ssh("/opt/airflow/bin/backup").stdout.split()[-1]
    listed = stack.host.ssh(f"tar -xOf {made} database.dump | pg_restore -l").stdout
    assert "TABLE DATA public dag_run flow" in listed


def test_redis_is_a_broker_too(stack: Stack) -> None:
    ca = stack.deployment.data["rabbitmq_ca"]
    data = {k: v for k, v in stack.deployment.data.items() if not k.startswith("rabbitmq_")}
    data["redis_url"] = f"rediss://:{QUOTED}@{stack.servers.address}"
    data["redis_ca"] = ca
    deployment = Deployment(stack.deployment.inventory, data, stack.deployment.environment)
    plan, run = deployment.dry(), deployment.run()
    assert run.code == 0, run.output
    assert plan.planned == run.changed
    assert stack.airflow.run("example_three_tasks")[1] == "success"
    assert verify(deployment).wrong == set()
    assert deployment.run().changed == []
    ask = "redis-cli --tls --cacert /etc/redis/airflow.crt --insecure"
    assert "NOAUTH" in stack.servers.ssh(f"{ask} ping").stdout
    login = "read -r REDISCLI_AUTH && export REDISCLI_AUTH"
    clients = stack.servers.ssh(f"{login} && {ask} client list", input=f"{PASSWORD}\n").stdout
    assert f"addr={stack.host.address}:" in clients


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("release", "distribution"),
    [("1.8.2", "bullseye"), ("1.10.15", "bullseye"), ("2.11.2", "bookworm")],
)
def test_older_releases_use_them_too(
    stack: Stack, network: Network, tmp_path: Path, release: str, distribution: str
) -> None:
    name = f"flow_{release.replace('.', '_')}"
    host = network.host(name.replace("_", "-"), distribution=distribution)
    given = ("postgresql", "rabbitmq", "redis")
    allowed = {f"{each}_allow": [stack.host.address, host.address] for each in given}
    encrypted = release[0] != "1"  # Airflow 1 can't check a broker's certificate
    assert stack.below.run(**allowed, rabbitmq_tls=encrypted).code == 0
    inventory = tmp_path / "older.py"
    text = (ROOT / f"inventories/{'single' if release[0] == '2' else 'walkthrough'}.py").read_text()
    text = re.sub(r"^(postgresql|rabbitmq) = .*\n", "", text, flags=re.MULTILINE)
    inventory.write_text(text)
    place, extras = stack.servers.address, "celery,crypto,password,postgres"
    word = "plain-p4ssw0rd" if release == "1.8.2" else QUOTED  # 1.8 can't read others in a URL
    deployment = Deployment(
        str(inventory),
        {
            **{k: v for k, v in stack.deployment.data.items() if encrypted or k != "rabbitmq_ca"},
            **sudo_user(host),
            "airflow_version": release,
            **({} if release[0] == "2" else {"airflow_extras": extras}),
            "postgresql_url": f"postgresql://{name}:{word}@{place}/{name}?sslmode=verify-full",
            "postgresql_results_user": f"{name}_results",
            "postgresql_results_database": f"{name}_results",
            "rabbitmq_url": f"{'amqps' if encrypted else 'amqp'}://{name}:{word}@{place}/{name}",
        },
        environment={"AIRFLOW_HOST": host.address},
    )
    plan, run = deployment.dry(**stack.administrators), deployment.run(**stack.administrators)
    assert run.code == 0, run.output
    assert plan.planned == run.changed
    assert deployment.run().changed == []
    assert verify(deployment).wrong == set()  # by a task through the broker
    ssl = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename ~"
    assert stack.psql(f"{ssl} '^{name}'") == ["t"]
    listed = stack.servers.ssh("rabbitmqctl -q list_connections user ssl").stdout.split("\n")
    assert {line for line in listed if line.startswith(name)} == {
        f"{name}\t{str(encrypted).lower()}"
    }
    network.drop(host)
    assert stack.below.run().code == 0


@pytest.mark.parametrize(
    "unit", ["rabbitmq-server.service", "redis-server@airflow.service", "postgresql@*.service"]
)
def test_a_server_without_airflow_beside_it_reports_its_crash(
    stack: Stack, receivers: Receivers, unit: str
) -> None:
    check_server_reports(receivers, stack.servers, unit)
    told = "cat /var/lib/airflow-report/reported; journalctl -q -o cat -t airflow-report"
    assert (
        f"host={stack.servers.address} error=the unit has failed" in stack.servers.ssh(told).stdout
    )
    mode, text = stack.servers.ssh(f"stat -c %a {REPORTS}; cat {REPORTS}").stdout.split("\n", 1)
    assert mode == "600"
    assert "AIRFLOW__SMTP__SMTP_PASSWORD" in text
    assert stack.below.run().changed == []


def test_an_uninstall_leaves_nothing_on_a_host_of_servers_alone(stack: Stack) -> None:
    uninstall = replace(stack.below, deploy="tasks.deploy_uninstall")
    run = uninstall.run(airflow_uninstall_data=True)
    assert run.code == 0, run.output
    paths = "/etc/systemd/system /etc/airflow* /opt /var/lib/private /var/lib/redis /etc/redis"
    found = stack.servers.ssh(f"find {paths} 2>/dev/null || true").stdout
    assert [path for path in found.splitlines() if "airflow" in path] == []
    listed = "rabbitmqctl -q list_vhosts; nft list ruleset; getent passwd"
    assert "airflow" not in stack.servers.ssh(listed).stdout
    assert stack.psql("SELECT rolname FROM pg_roles WHERE rolname ~ 'airflow'") == []
    assert "15692" not in stack.servers.ssh("ss -Hltn").stdout
    assert uninstall.run(airflow_uninstall_data=True).changed == []
