"""The wheel: everything under one name, and usable beside a project's own `tasks/`."""

from pathlib import Path

import pytest

from tests.support.cli import Deployment
from tests.support.hosts import Host, Network

pytestmark = pytest.mark.docker

SECRET = "given-by-the-project"

INVENTORY = """
host = {address!r}
hosts = ([host], {data!r})
db = [host]
"""

DEPLOY = """
from tasks import greeting
from pyinfra_airflow.tasks import deploy_postgresql

assert greeting == "the project's own"
deploy_postgresql()
"""


@pytest.fixture(scope="module")
def alone(
    network: Network, python: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Host, Deployment]:
    """A bare host, and a project of its own that deploys PostgreSQL to it."""
    folder = tmp_path_factory.mktemp("project")
    host = network.host("alone", distribution="bookworm")
    (folder / "tasks").mkdir()
    (folder / "tasks/__init__.py").write_text('greeting = "the project\'s own"\n')
    (folder / "deploy.py").write_text(DEPLOY)
    data = host.data | {"postgresql_allow": ["198.51.100.7"], "postgresql_database": "flow"}
    (folder / "inventory.py").write_text(INVENTORY.format(address=host.address, data=data))
    deployment = Deployment(
        "inventory.py",
        {},
        environment={"POSTGRESQL_PASSWORD": SECRET},
        cwd=folder,
        pyinfra=python.with_name("pyinfra"),
    )
    return host, deployment


def superuser(host: Host) -> str:
    """Ask PostgreSQL's own superuser about the rights of the role."""
    query = "select rolsuper, rolcreatedb from pg_roles where rolname = 'airflow'"
    return host.ssh("cd / && runuser -u postgres -- psql -XAt flow", input=query).stdout.strip()


def login(host: Host, password: str = "") -> str:
    """Log in over TCP, and give what came of it."""
    command = f"PGPASSWORD={password} psql -w -h 127.0.0.1 -U airflow flow -XAtc 'select 1'"
    done = host.ssh(command, check=False)
    return (done.stdout + done.stderr).strip()


def test_another_project_deploys_postgresql_alone(alone: tuple[Host, Deployment]) -> None:
    host, deployment = alone
    run = deployment.run()
    assert run.code == 0, run.output
    assert run.changed
    assert all(step.startswith("PostgreSQL | ") for step in run.changed)
    assert deployment.dry().planned == []
    assert superuser(host) == "f|f"
    assert login(host, SECRET) == "1"
    assert "password authentication failed" in login(host, "wrong")
    assert "no password supplied" in login(host)


def test_the_walkthrough_s_open_settings_want_consent_and_can_be_taken_back(
    alone: tuple[Host, Deployment],
) -> None:
    host, deployment = alone
    opened = {
        "postgresql_auth": "trust",
        "postgresql_superuser": True,
        "postgresql_listen_addresses": "*",
        "postgresql_allow": ["0.0.0.0/0"],
    }
    refused = deployment.show("-y", **opened)
    assert refused.code != 0
    assert "set postgresql_allow_insecure = True if you accept that" in refused.output
    assert superuser(host) == "f|f"
    assert deployment.run(**opened, postgresql_allow_insecure=True).code == 0
    assert (superuser(host), login(host)) == ("t|f", "1")
    assert "0.0.0.0:5432" in host.ssh("ss -Hltn").stdout
    assert deployment.run().code == 0
    assert superuser(host) == "f|f"
    assert "no password supplied" in login(host)
    assert "0.0.0.0:5432" not in host.ssh("ss -Hltn").stdout
