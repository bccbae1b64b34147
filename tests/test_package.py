"""The wheel: everything under one name, and usable beside a project's own `tasks/`."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli import ROOT, Deployment
from tests.hosts import Network

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
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (found,) = folder.glob("*.whl")
    assert list(folder.glob("*.tar.gz"))  # the wheel was built from this sdist
    return found


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """A fresh environment that holds the wheel, as another project has it."""
    environment = wheel.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    subprocess.run([environment / "bin/pip", "install", "-q", str(wheel)], check=True)
    return environment / "bin/python"


def test_the_wheel_has_everything_under_one_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"pyinfra_airflow"}
    for path in [*ROOT.glob("files/**/*"), *ROOT.glob("templates/*"), *ROOT.glob("tasks/*")]:
        if path.is_file() and path.suffix != ".pyc":
            assert f"pyinfra_airflow/{path.relative_to(ROOT)}" in names


def test_the_wheel_finds_its_files(python: Path, tmp_path: Path) -> None:
    code = (
        "from pyinfra_airflow.tasks.resources import resource, template;"
        "print(resource('dags').is_dir(), template('airflow', environment='/x'))"
    )
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("True #!/bin/sh"), done.stderr


def test_an_editable_install_works_too(tmp_path: Path) -> None:
    code = "import pyinfra_airflow.tasks as tasks; print(tasks.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(ROOT / "tasks/__init__.py"), done.stderr


@pytest.mark.docker
def test_another_project_deploys_postgresql_alone(
    network: Network, python: Path, tmp_path: Path
) -> None:
    host = network.host("alone", distribution="bookworm")
    secret = "given-by-the-project"
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/__init__.py").write_text('greeting = "the project\'s own"\n')
    (tmp_path / "deploy.py").write_text(DEPLOY)
    data = host.data | {"postgresql_allow": ["198.51.100.7"], "postgresql_database": "flow"}
    (tmp_path / "inventory.py").write_text(INVENTORY.format(address=host.address, data=data))
    deployment = Deployment(
        "inventory.py",
        {},
        environment={"POSTGRESQL_PASSWORD": secret},
        cwd=tmp_path,
        pyinfra=python.with_name("pyinfra"),
    )
    run = deployment.run()
    assert run.code == 0, run.output
    assert run.changed and all(step.startswith("PostgreSQL | ") for step in run.changed)
    assert deployment.dry().planned == []

    query = "select rolsuper, rolcreatedb from pg_roles where rolname = 'airflow'"
    asked = host.ssh("cd / && runuser -u postgres -- psql -XAt flow", input=query).stdout
    assert asked.strip() == "f|f"
    login = f"PGPASSWORD={secret} psql -h 127.0.0.1 -U airflow flow -XAtc 'select 1'"
    assert host.ssh(login).stdout.strip() == "1"
    wrong = "PGPASSWORD=wrong psql -h 127.0.0.1 -U airflow flow -XAtc 'select 1'"
    assert "password authentication failed" in host.ssh(wrong, check=False).stderr
