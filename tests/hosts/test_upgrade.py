"""From one release to the next and back, and onto another host, with nothing lost."""

import base64
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tasks.settings import certificates
from tests.support import objects
from tests.support.cli import ROOT, Deployment, sudo_user, sudo_users
from tests.support.hosts import Host, Network
from tests.support.housekeeping import check_nightly
from tests.support.reports import REASON
from tests.support.rest import Airflow
from tests.support.verify import verify
from tests.support.waiting import until

pytestmark = pytest.mark.docker

FAILING = Path(__file__).parent / "dags/failing.py"
OLD, NEW = "2.11.2", "3.3.2"
SECRET = "only-with-the-key"
# A DAG of another folder, which the scheduler does not look at, and who schedules from there.
ANOTHER = """
INSERT INTO dag (dag_id, is_active, is_paused, fileloc, processor_subdir, max_active_tasks,
    max_consecutive_failed_dag_runs, has_task_concurrency_limits)
VALUES ('lost', true, true, '/home/ubuntu/dags/lost.py', '/home/ubuntu/dags', 1, 1, false);
INSERT INTO job (job_type, state, latest_heartbeat, hostname, unixname)
VALUES ('SchedulerJob', 'running', now(), 'old', 'ubuntu')
"""
LATER = "only-with-the-next-key"
RUNS = "SELECT dag_id, run_id, state FROM dag_run WHERE dag_id NOT LIKE 'verify%' ORDER BY 1, 2"
# Without the firewall's, which opens early what the newer release needs.
SERVICES = "systemctl show -p Id,ActiveState,ActiveEnterTimestampMonotonic 'airflow-[!f]*.service'"

# What the newer release was let in by stays until the next run of the older one, as does the mark
# of a secret that it alone has.
LEFT = [
    "Mark | Write /etc/pyinfra-airflow",
    "Firewall | Write /etc/airflow-firewall.nft",
    "Firewall | Load the rules",
    "PostgreSQL | Revoke database access that is no longer needed",
]


# A host that runs everything, behind a proxy, and a worker beside it.
INVENTORY = """
import os
hosts = (
    [("upgrade", {{"ssh_hostname": "{first}"}}), ("second", {{"ssh_hostname": "{second}"}})],
    {{
        "_sudo": True,
        "airflow_version": os.environ["AIRFLOW_VERSION"],
        "airflow_dags": "files/dags",
    }},
)
postgresql = rabbitmq = proxy = ["upgrade"]
api_server = scheduler = dag_processor = triggerer = ["upgrade"]
worker = ["upgrade", "second"]
"""

AROUND_PORTS = {80, 443, 8080, 8081, 9103, 9187}
AROUND = "pgbouncer = proxy = statsd_exporter = postgresql_exporter = [host]\n"


@dataclass
class Stack:
    """Hosts that go from release to release."""

    host: Host
    """The one that runs everything."""
    deployment: Deployment
    secrets: Path
    backups: Path
    workers: Sequence[Host] = ()
    """Further hosts."""

    def of(self, release: str, deploy: str = "deploy.py") -> Deployment:
        """Give the deployment of a release, or another deploy function with it."""
        environment = {**self.deployment.environment, "AIRFLOW_VERSION": release}
        return replace(self.deployment, environment=environment, deploy=deploy)

    def airflow(self, release: str) -> Airflow:
        """Use it by the API of a release, through the proxy."""
        password = json.loads(self.secrets.read_text())["airflow_admin_password"]
        certificate = certificates.folder(self.secrets) / "ca.crt"
        return Airflow(self.host.address, password, release, certificate=certificate)

    def query(self, sql: str) -> list[str]:
        """Ask the metadata database, as PostgreSQL's superuser."""
        psql = "cd / && runuser -u postgres -- psql airflow -XAtq -v ON_ERROR_STOP=1"
        return self.host.ssh(psql, input=sql).stdout.splitlines()

    @property
    def key(self) -> str:
        """Give the Fernet key that is kept."""
        kept: dict[str, str] = json.loads(self.secrets.read_text())
        assert "airflow_fernet_key_next" not in kept
        return kept["airflow_fernet_key"]

    def stored(self, connection: str = "kept") -> str:
        """Give the password of a connection as the database has it."""
        return self.query(f"SELECT password FROM connection WHERE conn_id = '{connection}'")[0]

    def shown(self, connection: str = "kept") -> str:
        """Give a connection as Airflow shows it."""
        return self.host.ssh(f"airflow connections get {connection} -o json").stdout

    def kept(self) -> set[str]:
        """Name the backups on the host."""
        return set(self.host.ssh("ls /var/backups/airflow").stdout.split())

    def check(self, release: str, runs: list[str], planned: Sequence[str] = ()) -> None:
        """See that a release works, has the runs and can read the secret, and what is planned."""
        for host in (self.host, *self.workers):
            assert host.ssh("airflow version").stdout.split()[-1] == release
        assert set(runs) <= set(self.query(RUNS))
        assert verify(self.of(release)).wrong == set()
        assert SECRET in self.shown()
        dag, run, _ = runs[0].split("|")
        assert self.airflow(release).tasks(dag, run).keys() == {"extract", "transform", "load"}
        assert self.of(release).dry().planned == list(planned)


@pytest.fixture(scope="module")
def stack(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("upgrade")
    hosts = {name: network.host(name, distribution="bookworm") for name in ("upgrade", "second")}
    data = {
        **sudo_users(hosts, folder),
        "airflow_secrets_file": str(folder / "secrets.json"),
        "airflow_backup_folder": str(folder / "backups"),
    }
    first, second = hosts.values()
    inventory = folder / "two.py"
    inventory.write_text(INVENTORY.format(first=first.address, second=second.address))
    deployment = Deployment(str(inventory), data)
    stack = Stack(first, deployment, folder / "secrets.json", folder / "backups", [second])
    run = stack.of(OLD).run()
    assert run.code == 0, run.output
    yield stack
    for host in hosts.values():
        network.drop(host)


def test_a_connection_alone_is_data_that_a_restore_leaves_alone(
    stack: Stack, tmp_path: Path
) -> None:
    def refused() -> bool:
        run = stack.of(OLD, "tasks.deploy_restore").show("--dry", airflow_restore=str(backup))
        return "has an Airflow with data" in run.output

    backup = tmp_path / "backup.tar"
    with tarfile.open(backup, "w") as tar:
        for name, text in (("version", f"{OLD}\n"), ("secrets.env", "")):
            (tmp_path / name).write_text(text)
            tar.add(tmp_path / name, name)
    assert not refused()
    stack.query("INSERT INTO connection (conn_id, conn_type) VALUES ('aws_default', 'aws')")
    assert refused()
    stack.query("DELETE FROM connection")


@pytest.fixture(scope="module")
def runs(stack: Stack) -> list[str]:
    """Run a DAG in the old release, and keep a secret there."""
    assert stack.airflow(OLD).run("example_three_tasks")[1] == "success"
    stack.host.ssh(f"airflow connections add kept --conn-type http --conn-password {SECRET}")
    return stack.query(RUNS)


@pytest.fixture(scope="module")
def backup(stack: Stack, runs: list[str]) -> Path:
    """Back up the old release."""
    run = stack.of(OLD, "tasks.deploy_backup").show("-y")
    assert run.code == 0, run.output
    (file,) = stack.backups.glob("*.tar")
    return file


def test_a_backup_is_whole_and_nobody_else_s(stack: Stack, backup: Path) -> None:
    assert backup.name.startswith(f"airflow-{OLD}-")
    assert (backup.stat().st_mode & 0o777, backup.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with tarfile.open(backup) as tar:
        names = tar.getnames()
    assert {"database.dump", "secrets.env", "airflow.cfg", "version"} <= set(names)
    assert "dags/example_three_tasks.py" in names
    kept = stack.host.ssh("stat -c '%a %U %n' /var/backups/airflow /var/backups/airflow/*")
    assert kept.stdout.split()[::3] == ["700", "600"]
    assert stack.host.ssh("ls /var/backups").stdout.split() == ["airflow", "airflow-replaced"]


def test_the_nightly_backup_keeps_as_many_as_it_shall(stack: Stack, backup: Path) -> None:
    for day in range(10, 20):
        stack.host.ssh(f"touch /var/backups/airflow/airflow-2.0.0-202001{day}T000000Z.tar")
    stack.host.ssh("systemctl start airflow-nightly.service")
    kept = stack.host.ssh("ls /var/backups/airflow").stdout.split()
    assert len(kept) == 7
    assert backup.name in kept
    assert "airflow-2.0.0-20200119T000000Z.tar" in kept


@contextmanager
def another_key(host: Host) -> Iterator[None]:
    """Have a Fernet key on the host that opens nothing."""
    line = f'AIRFLOW__CORE__FERNET_KEY="{Fernet.generate_key().decode()}"'
    host.ssh("cp -p /etc/airflow/secrets.env /root/")
    host.ssh(f"sed -i 's|^AIRFLOW__CORE__FERNET_KEY=.*|{line}|' /etc/airflow/secrets.env")
    try:
        yield
    finally:
        host.ssh("cp -p /root/secrets.env /etc/airflow/; rm /root/secrets.env")


def test_a_backup_with_a_key_that_opens_too_little_is_told_and_pushes_no_other_out(
    stack: Stack, backup: Path, tmp_path: Path
) -> None:
    before = stack.kept()
    with another_key(stack.host):
        for _ in range(3):
            night = stack.host.ssh("systemctl start airflow-nightly.service", check=False)
            assert night.returncode != 0
        by_hand = stack.of(OLD, "tasks.deploy_backup").show(
            "-y", airflow_backup_folder=str(tmp_path)
        )
        stack.host.ssh("/opt/airflow/bin/backup --release 2.0.0 2>/dev/null")
    sentence = "does not open every stored secret (0 of 1: connection kept)"
    assert sentence in stack.host.ssh("journalctl -u airflow-nightly").stdout
    assert by_hand.code == 0
    assert sentence in by_hand.output
    kept = stack.kept()
    assert {name for name in kept if name.startswith("airflow-")} == before
    assert len(kept) == len(before) + 4
    (other,) = [name for name in kept if name.startswith("doubtful-2.0.0-")]
    version = stack.host.ssh(f"tar -xOf /var/backups/airflow/{other} version").stdout
    assert version == "2.0.0\n"
    stack.host.ssh("rm /var/backups/airflow/doubtful-*")


def test_verifying_names_what_another_airflow_has_left(stack: Stack, runs: list[str]) -> None:
    stack.query(ANOTHER)
    with another_key(stack.host):
        rows = verify(stack.of(OLD)).rows
    stack.query("DELETE FROM job WHERE hostname = 'old'; DELETE FROM dag WHERE dag_id = 'lost'")
    here = "upgrade"
    assert rows["stored secrets", here] == ("FAIL", "0 of 1 open, not connection kept")
    assert rows["DAGs without a file", here] == ("note", "lost")
    mark, saw = rows["no other scheduler", here]
    assert mark == "FAIL"
    assert re.fullmatch(r"old \(ubuntu\), heartbeat \d+ s ago", saw)


def test_a_key_that_the_release_does_not_know_ends_it_before_anything_stops(
    stack: Stack, runs: list[str]
) -> None:
    before = stack.host.ssh(SERVICES).stdout
    run = stack.of(NEW).show("-y", airflow_config={"core": {"dag_concurrency": 9}})
    assert run.code != 0
    assert "airflow_config sets [core] dag_concurrency:" in run.output
    assert "Traceback" not in run.output
    assert stack.host.ssh(SERVICES).stdout == before


def test_an_upgrade_whose_migration_fails_leaves_everything_as_it_was(
    stack: Stack, runs: list[str]
) -> None:
    stack.query("SET ROLE airflow; CREATE TABLE dag_version (in_the_way int)")
    run = stack.of(NEW).show("-y")
    assert run.code != 0
    assert "dag_version" in run.output  # what the migration said
    assert "The upgrade has failed: every host returns to the previous release" in run.output
    assert stack.query("SELECT in_the_way FROM dag_version") == []
    stack.query("DROP TABLE dag_version")
    until(lambda: stack.airflow(OLD).knows("example_three_tasks"), 60, "the old web UI")
    stack.check(OLD, runs, LEFT)
    assert "airflow-api-server" not in stack.host.ssh(SERVICES).stdout


def test_an_upgrade_keeps_the_runs_and_the_secrets(stack: Stack, runs: list[str]) -> None:
    plan, run = stack.of(NEW).dry(), stack.of(NEW).run()
    assert run.code == 0, run.output
    assert set(run.changed) <= set(plan.planned)
    assert "Services | Remove services that run elsewhere" in run.changed
    stack.check(NEW, runs)
    assert stack.airflow(NEW).run("example_three_tasks")[1] == "success"
    assert "airflow-webserver" not in stack.host.ssh(SERVICES).stdout


def test_the_way_back_is_not_an_upgrade(stack: Stack) -> None:
    run = stack.of(OLD).show("-y")
    assert run.code != 0
    assert f"Airflow {NEW} is newer than {OLD}, and a database can't be downgraded" in run.output
    assert "Traceback" not in run.output


def test_a_rollback_brings_the_old_release_back(stack: Stack, runs: list[str]) -> None:
    wrong = stack.of(NEW, "tasks.deploy_rollback").show("-y")
    assert wrong.code != 0
    assert f"ran Airflow {OLD} before its last upgrade: set airflow_version" in wrong.output
    run = stack.of(OLD, "tasks.deploy_rollback").show("-y")
    print(run.output)
    assert run.code == 0
    stack.check(OLD, runs, LEFT)
    assert f"airflow-{NEW}-" in stack.host.ssh("ls /var/backups/airflow").stdout


def test_a_rotation_of_keys_that_was_killed_is_finished_by_the_next(
    stack: Stack, runs: list[str]
) -> None:
    before, password = stack.key, stack.stored()
    rotation = stack.of(OLD, "tasks.deploy_fernet_key_rotation")
    killed = rotation.start()
    assert killed.stdout
    for line in killed.stdout:
        if "Starting operation: Fernet key | Encrypt with the new key" in line:
            break
    encrypts = "-f '[a]irflow rotate-fernet-key'"
    until(lambda: stack.host.ssh(f"pgrep {encrypts}", check=False).stdout, 30, "the encryption")
    killed.kill()
    killed.wait()
    stack.host.ssh(f"pkill -KILL {encrypts}")
    both = stack.key
    assert both.endswith(f",{before}")
    assert stack.stored() == password
    assert SECRET in stack.shown()
    finished = rotation.show("-y")
    assert finished.code == 0, finished.output
    assert f"{stack.key},{before}" == both
    assert Fernet(stack.key).decrypt(stack.stored().encode()).decode() == SECRET
    assert SECRET in stack.shown()
    assert stack.of(OLD).dry().planned == LEFT[1:]  # a rotation marks the hosts anew


def test_secrets_of_hosts_that_do_not_agree_are_not_fetched(stack: Stack) -> None:
    (second,) = stack.workers
    path, kept = "/etc/airflow/secrets.env", stack.secrets.read_text()
    second.ssh(f"cp -p {path} /root/kept && sed -i 's/^AIRFLOW__CORE__FERNET_KEY=\"./&A/' {path}")
    fetch = stack.of(OLD, "tasks.deploy_secrets_fetch")
    run = fetch.show("-y")
    assert run.code != 0
    assert "airflow_fernet_key differs between second and upgrade: fetch from one" in run.output
    assert stack.key not in run.output
    assert stack.secrets.read_text() == kept
    second.ssh(f"mv /root/kept {path}")
    assert fetch.dry().planned == []


def test_a_restore_over_data_asks_for_consent(stack: Stack, backup: Path) -> None:
    def state() -> object:
        return stack.query(RUNS), stack.host.ssh(SERVICES).stdout, stack.kept(), stack.key

    before = state()
    run = stack.of(OLD, "tasks.deploy_restore").show("-y", airflow_restore=str(backup))
    assert run.code != 0
    assert "set airflow_restore_over = True to replace the data" in run.output
    assert "Starting operation" not in run.output
    assert state() == before


@pytest.fixture(scope="module")
def replaced(stack: Stack, backup: Path) -> Path:
    """Restore the backup over data that it does not have, and fetch the backup of these."""
    stack.host.ssh(f"airflow connections add later --conn-type http --conn-password {LATER}")
    before = stack.kept()
    restore = stack.of(OLD, "tasks.deploy_restore")
    run = restore.show("-y", airflow_restore=str(backup), airflow_restore_over=True)
    print(run.output)
    assert run.code == 0
    (name,) = stack.kept() - before
    file = backup.with_name("replaced.tar")
    file.write_bytes(base64.b64decode(stack.host.ssh(f"base64 /var/backups/airflow/{name}").stdout))
    return file


def test_with_consent_a_restore_brings_back_what_there_was(
    stack: Stack, runs: list[str], replaced: Path
) -> None:
    assert stack.query(RUNS) == runs
    assert stack.query("SELECT conn_id FROM connection") == ["kept"]
    stack.check(OLD, runs)


def test_the_old_release_has_its_objects_in_code_too(stack: Stack, tmp_path: Path) -> None:
    declared = objects.declared(tmp_path, roles=True)
    for drift in ("", objects.DRIFT + objects.ROLE_DRIFT):
        objects.sql(stack.host, drift)
        plan, run = stack.of(OLD).dry(**declared), stack.of(OLD).run(**declared)
        assert (plan.planned, run.changed) == (objects.STEPS, objects.STEPS)
        objects.check(stack.host)
    airflow = stack.airflow(OLD)
    ann = airflow.session(objects.SECRETS["login"], "ann")
    assert ann.get(f"{airflow.api}/dags", timeout=60).ok
    assert stack.of(OLD).run(**declared).changed == []


def test_the_old_release_tells_why_a_task_failed(stack: Stack) -> None:
    hosts = (stack.host, *stack.workers)
    path = "/var/lib/airflow/dags/failing.py"
    for host in hosts:
        host.ssh(f"cat > {path} && chmod 644 {path}", input=FAILING.read_text())
    run, state = stack.airflow(OLD).run("failing")
    assert state == "failed"
    assert REASON in stack.airflow(OLD).log("failing", run, "fail")
    told = [host.ssh("journalctl -q -o cat -t airflow-report").stdout for host in hosts]
    assert f"error={REASON}" in "".join(told)


@pytest.fixture(scope="module")
def restored(
    network: Network,
    tmp_path_factory: pytest.TempPathFactory,
    backup: Path,
) -> Iterator[Stack]:
    """Restore the old release's backup onto another host, in the new release, with all around."""
    folder = tmp_path_factory.mktemp("restored")
    inventory = folder / "around.py"
    inventory.write_text((ROOT / "inventories/single.py").read_text() + AROUND)
    host = network.host("restored", distribution="trixie")
    secrets = folder / "secrets.json"
    data = {
        **sudo_user(host),
        "airflow_secrets_file": str(secrets),
        "airflow_health_port": 8081,
        "postgresql_tls": True,
    }
    deployment = Deployment(str(inventory), data, {"AIRFLOW_HOST": host.address})
    restored = Stack(host, deployment, secrets, folder)
    run = restored.of(NEW, "tasks.deploy_restore").show("-y", airflow_restore=str(backup))
    assert run.code == 0, run.output
    yield restored
    network.drop(host)


def test_a_backup_works_on_a_fresh_host_in_a_newer_release(
    restored: Stack, runs: list[str]
) -> None:
    restored.check(NEW, runs)
    assert restored.host.ssh("ls /var/backups/airflow").stdout.split() == ["active-dags.txt"]
    active = restored.host.ssh("cat /var/backups/airflow/active-dags.txt").stdout.split()
    assert active == ["example_three_tasks"]
    paused = "SELECT is_paused FROM dag WHERE dag_id = 'example_three_tasks'"
    assert restored.query(paused) == ["t"]
    assert restored.airflow(NEW).run("example_three_tasks")[1] == "success"


@pytest.mark.sweep  # the rotation that was killed is one as well
def test_a_new_fernet_key_reads_what_the_old_one_has_written(
    restored: Stack, runs: list[str]
) -> None:
    before, password = restored.key, restored.stored()
    run = restored.of(NEW, "tasks.deploy_fernet_key_rotation").show("-y")
    print(run.output)
    assert run.code == 0
    assert restored.key != before
    assert "," not in restored.key
    assert restored.stored() != password
    assert Fernet(restored.key).decrypt(restored.stored().encode()).decode() == SECRET
    assert before not in restored.host.ssh("cat /etc/airflow/secrets.env").stdout
    assert SECRET in restored.shown()
    assert restored.of(NEW).dry().planned == []


def test_old_runs_and_logs_go_at_night_where_that_is_asked_for(restored: Stack) -> None:
    check_nightly(restored.of(NEW), restored.host, "example_three_tasks", date="logical_date")


@pytest.mark.sweep
def test_what_a_restore_has_replaced_can_be_restored_itself(
    restored: Stack, runs: list[str], replaced: Path
) -> None:
    restore = restored.of(NEW, "tasks.deploy_restore")
    run = restore.show("-y", airflow_restore=str(replaced), airflow_restore_over=True)
    assert run.code == 0, run.output
    assert LATER in restored.shown("later")
    restored.check(NEW, runs)


def test_an_uninstall_leaves_the_data_unless_it_is_told(restored: Stack) -> None:
    host, uninstall = restored.host, restored.of(NEW, "tasks.deploy_uninstall")
    before = restored.query(RUNS)
    assert before
    host.ssh("/opt/airflow/bin/backup")
    assert (run := uninstall.show("-y")).code == 0, run.output
    left = "ls -d /opt/airflow /usr/local/bin/airflow /etc/systemd/system/airflow-* 2>/dev/null"
    assert host.ssh(f"{left} || true").stdout == ""
    assert "airflow" not in host.ssh("systemctl list-units --all --plain 'airflow*'").stdout
    listening = host.ssh("ss -Hltn | awk '{print $4}'").stdout.split()
    assert {int(each.rpartition(":")[2]) for each in listening}.isdisjoint(AROUND_PORTS)
    assert restored.query(RUNS) == before
    assert "secrets.env" in host.ssh("ls /etc/airflow /var/lib/airflow/dags").stdout

    assert uninstall.show("-y", airflow_uninstall_data=True).code == 0
    assert ":6432" not in host.ssh("ss -Hltn").stdout
    assert host.ssh("ls /etc/pgbouncer").stdout == ""
    listed = "SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles"
    found = host.ssh("cd / && runuser -u postgres -- psql -XAt", input=listed)
    assert "airflow" not in found.stdout
    gone = "/etc/airflow /var/lib/airflow /var/log/airflow"
    assert host.ssh(f"ls -d {gone} 2>/dev/null || true").stdout == ""
    assert "airflow" not in host.ssh("rabbitmqctl -q list_vhosts; getent passwd").stdout
    assert "airflow-3" in host.ssh("ls /var/backups/airflow").stdout
