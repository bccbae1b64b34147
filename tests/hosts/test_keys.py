"""A run with other secrets, another schema or another scheduler costs nobody anything."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.support.cli import ROOT, Deployment, Run, sudo_user
from tests.support.hosts import Host, Network
from tests.support.verify import verify

pytestmark = pytest.mark.docker

SECRET = "only-with-the-key"
CASES = [
    ("3.3.2", "bookworm"),
    pytest.param(("1.10.15", "bullseye"), marks=pytest.mark.sweep),
    pytest.param(("2.11.2", "bookworm"), marks=pytest.mark.sweep),
]
FILES = "find /etc /opt /usr/local /var/lib/airflow -type f -exec sha256sum {} + | sort | sha256sum"
SERVICES = "systemctl show -p Id,ActiveEnterTimestampMonotonic 'airflow-[!n]*.service'"
OLD_KEY = {"3.3.2": "connections add", "2.11.2": "connections add", "1.10.15": "connections --add"}


@dataclass
class Stack:
    """A host of ours in which a secret is stored."""

    host: Host
    deployment: Deployment
    secrets: Path
    release: str

    def of(self, deploy: str, **data: Any) -> Deployment:
        """Give another deploy function, or other settings, with this host."""
        return replace(self.deployment, deploy=deploy, data=self.deployment.data | data)

    def query(self, sql: str) -> list[str]:
        """Ask the metadata database, as PostgreSQL's superuser."""
        psql = "cd / && runuser -u postgres -- psql airflow -XAtq -v ON_ERROR_STOP=1"
        return self.host.ssh(psql, input=sql).stdout.splitlines()

    @property
    def kept(self) -> dict[str, str]:
        """Read this machine's file of secrets."""
        found: dict[str, str] = json.loads(self.secrets.read_text())
        return found

    def opens(self, key: str, connection: str = "kept") -> bool:
        """Tell whether a Fernet key opens what is stored, by cryptography itself."""
        (token,) = self.query(f"SELECT password FROM connection WHERE conn_id = '{connection}'")
        return Fernet(key).decrypt(token.encode()).decode() == SECRET

    def state(self) -> tuple[str, str]:
        """Give what a run could change on the host."""
        return self.host.ssh(FILES).stdout, self.host.ssh(SERVICES).stdout

    def refused(self, deployment: Deployment, sentence: str) -> Run:
        """See that plan and run are refused in these words, and that nothing has changed."""
        before = self.state()
        for options in (["--dry"], ["-y", "-vvv", "--diff"]):
            run = deployment.show(*options)
            assert run.code != 0, run.output
            assert sentence in run.output
            assert "Starting operation" not in run.output
            assert "Traceback" not in run.output
        assert self.state() == before
        return run


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0])
def stack(
    request: pytest.FixtureRequest, network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    release, distribution = request.param
    host = network.host(f"keys-{release.replace('.', '-')}", distribution=distribution)
    secrets = tmp_path_factory.mktemp("keys") / "secrets.json"
    deployment = Deployment(
        "inventories/walkthrough.py" if release[0] == "1" else "inventories/single.py",
        {
            **sudo_user(host),
            "airflow_secrets_file": str(secrets),
            "airflow_version": release,
            "airflow_dags": str(ROOT / "files/dags"),
            "airflow_extras": [],
        },
        environment={"AIRFLOW_HOST": host.address},
    )
    run = deployment.run()
    assert run.code == 0, run.output
    stack = Stack(host, deployment, secrets, release)
    id_ = "--conn_id kept --conn_type http --conn_password" if release[0] == "1" else ""
    words = id_ or "kept --conn-type http --conn-password"
    host.ssh(f"airflow {OLD_KEY[release]} {words} {SECRET}")
    assert stack.opens(stack.kept["airflow_fernet_key"])
    yield stack
    network.drop(host)


def test_a_second_checkout_without_the_secrets_changes_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    theirs = tmp_path / "secrets.json"
    other = stack.of("deploy.py", airflow_secrets_file=str(theirs))
    run = stack.refused(other, "has a different Fernet key from this machine")
    assert f"({theirs} was missing, or is older or newer)" in run.output
    assert "run tasks.deploy_secrets_fetch" in run.output
    stack.refused(other, "has a different Fernet key")  # with a file that is there now, but other
    assert [word for word in (*stack.kept.values(), SECRET) if word in run.output] == []
    assert stack.deployment.run().changed == []
    stack.refused(other, "has a different Fernet key")  # nor does it alternate


def test_the_hosts_secrets_can_be_fetched_and_are_never_shown(stack: Stack, tmp_path: Path) -> None:
    theirs = tmp_path / "secrets.json"
    fetch = stack.of("tasks.deploy_secrets_fetch", airflow_secrets_file=str(theirs))
    plan = fetch.dry()
    assert plan.planned == [f"Secrets | Save the hosts' secrets in {theirs}"]
    generated = json.loads(theirs.read_text())
    run = fetch.show("-y", "-vvv", "--diff", "--debug")
    assert run.code == 0, run.output
    fetched, used = json.loads(theirs.read_text()), dict(stack.kept)
    unused = {"redis_password"}
    if stack.release[0] != "3":
        unused |= {"airflow_jwt_secret", "postgresql_results_password"}
    assert {k: v for k, v in fetched.items() if k not in unused} == {
        k: v for k, v in used.items() if k not in unused
    }
    assert [word for word in fetched.values() if word in run.output] == []
    (former,) = theirs.parent.glob("secrets.json.*Z")
    assert json.loads(former.read_text()) == generated
    assert [file.stat().st_mode & 0o777 for file in (theirs, former)] == [0o600, 0o600]
    for secrets in (theirs, stack.secrets, theirs):
        assert stack.of("deploy.py", airflow_secrets_file=str(secrets)).run().changed == []
    assert fetch.dry().planned == []


def test_a_given_key_that_opens_nothing_is_refused(stack: Stack) -> None:
    other = Fernet.generate_key().decode()
    given = stack.of("deploy.py", airflow_fernet_key=other)
    run = stack.refused(given, "airflow_fernet_key is not the key of")
    assert other not in run.output


def test_what_another_key_has_written_is_named(stack: Stack) -> None:
    other = Fernet.generate_key()
    token = Fernet(other).encrypt(SECRET.encode()).decode()
    columns = "conn_id, conn_type, password, is_encrypted, is_extra_encrypted"
    stack.query(
        f"INSERT INTO connection ({columns}) VALUES ('strange', 'http', '{token}', true, false)"
    )
    # Airflow 1 has secrets in connections of its own as well.
    many = "18" if stack.release[0] == "1" else "2"
    stack.refused(stack.deployment, f"1 of {many} stored secrets don't decrypt with")
    assert verify(stack.deployment).wrong == {"stored secrets"}
    both = f"{stack.kept['airflow_fernet_key']},{other.decode()}"
    run = stack.of("deploy.py", airflow_fernet_key=both).run()
    assert run.code == 0, run.output
    assert verify(stack.of("deploy.py", airflow_fernet_key=both)).wrong == set()
    assert SECRET in stack.host.ssh(_shown(stack, "strange")).stdout
    stack.query("DELETE FROM connection WHERE conn_id = 'strange'")
    assert stack.deployment.run().code == 0
    assert stack.opens(stack.kept["airflow_fernet_key"])


def _shown(stack: Stack, connection: str) -> str:
    if stack.release[0] == "1":
        code = (
            "from airflow.hooks.base_hook import BaseHook;"
            f"print(BaseHook.get_connection('{connection}').password)"
        )
        return f'/opt/airflow/bin/as-airflow python -c "{code}"'
    return f"airflow connections get {connection} -o json"


def test_the_former_secrets_of_a_host_stay_until_it_is_verified(stack: Stack) -> None:
    assert verify(stack.deployment).wrong == set()
    path = "/etc/airflow/secrets.env"
    before = stack.host.ssh(f"sha256sum < {path}").stdout
    run = stack.of("deploy.py", airflow_secret_key="another-word-for-sessions").run()
    assert run.code == 0, run.output
    former = f"stat -c '%a %U' {path}.former && sha256sum < {path}.former"
    assert stack.host.ssh(former).stdout == f"600 root\n{before}"
    assert stack.deployment.run().code == 0
    assert stack.host.ssh(former).stdout == f"600 root\n{before}"  # the first of several
    assert verify(stack.deployment).wrong == set()
    assert stack.host.ssh(f"test -e {path}.former", check=False).returncode == 1


def test_another_scheduler_on_the_database_is_not_joined(stack: Stack) -> None:
    columns = "job_type, state, latest_heartbeat, hostname, unixname"
    values = "'SchedulerJob', 'running', now() + interval '9 minutes', 'elsewhere', 'airflow'"
    stack.query(f"INSERT INTO job ({columns}) VALUES ({values})")
    stack.refused(stack.deployment, "Scheduler on elsewhere of user airflow, heartbeat")
    assert verify(stack.deployment).wrong == {"no other scheduler"}
    stack.query("DELETE FROM job WHERE hostname = 'elsewhere'")
    assert stack.deployment.dry().planned == []


def test_a_schema_that_is_newer_or_unknown_is_refused(stack: Stack) -> None:
    before = stack.query("SELECT version_num FROM alembic_version")
    stack.query("UPDATE alembic_version SET version_num = '0123456789ab'")
    stack.refused(stack.deployment, "this package does not know its schema")
    stack.query(f"UPDATE alembic_version SET version_num = '{before[0]}'")
    assert stack.deployment.dry().planned == []


def test_an_uninstalled_airflow_keeps_its_data_from_a_restore(stack: Stack) -> None:
    made = stack.host.ssh("/opt/airflow/bin/backup").stdout.split()[-1]
    backup = stack.secrets.with_name("backup.tar")
    backup.write_bytes(_fetched(stack.host, made))
    assert stack.of("tasks.deploy_uninstall").run().code == 0
    restore = stack.of("tasks.deploy_restore", airflow_restore=str(backup))
    stack.refused(restore, "set airflow_restore_over = True to replace the data, after a backup")
    other = stack.secrets.with_name("other.json")
    stack.refused(
        stack.of("deploy.py", airflow_secrets_file=str(other)), "has a different Fernet key from"
    )
    assert stack.opens(stack.kept["airflow_fernet_key"])
    run = stack.deployment.run()
    assert run.code == 0, run.output
    assert verify(stack.deployment).wrong == set()


def _fetched(host: Host, path: str) -> bytes:
    return base64.b64decode(host.ssh(f"base64 {path}").stdout)


def test_a_database_that_was_left_is_migrated_after_a_backup_or_stays_as_it_is(
    network: Network, tmp_path: Path
) -> None:
    host = network.host("left", distribution="bookworm")
    secrets = tmp_path / "secrets.json"
    data = {**sudo_user(host), "airflow_secrets_file": str(secrets), "airflow_version": "2.11.2"}
    environment = {"AIRFLOW_HOST": host.address}
    stack = Stack(host, Deployment("inventories/single.py", data, environment), secrets, "2.11.2")
    assert stack.deployment.run().code == 0
    host.ssh(f"airflow connections add kept --conn-type http --conn-password {SECRET}")
    assert stack.of("tasks.deploy_uninstall").run().code == 0
    before = stack.query("SELECT version_num FROM alembic_version")
    newer = stack.of("deploy.py", airflow_version="3.3.2")
    step = "Database | Migrate the schema from Airflow 2.10.3 to 2.11.2 to 3.3.2"
    stack.query("SET ROLE airflow; CREATE TABLE dag_version (in_the_way int)")
    failed = newer.show("-y")
    assert failed.code != 0
    assert "dag_version" in failed.output  # what the migration said
    assert "restoring the database from /var/backups/airflow/airflow-2.11.2-" in failed.output
    assert stack.query("SELECT version_num FROM alembic_version") == before
    assert stack.query("SELECT in_the_way FROM dag_version") == []
    stack.query("DROP TABLE dag_version")
    plan, run = newer.dry(), newer.run()
    assert run.code == 0, run.output
    assert step in plan.planned
    assert step in run.changed
    assert stack.opens(stack.kept["airflow_fernet_key"])
    assert verify(newer).wrong == set()
    assert newer.dry().planned == []
    backups = host.ssh("ls /var/backups/airflow").stdout.split()
    assert [name.startswith("airflow-2.11.2-") for name in backups] == [True, True]
    network.drop(host)
