"""The wheel: everything under one name, and usable beside a project's own `tasks/`."""

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.cli import ROOT


def test_the_wheel_has_everything_under_one_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"pyinfra_airflow"}
    for path in [*ROOT.glob("files/**/*"), *ROOT.glob("templates/**/*"), *ROOT.glob("tasks/**/*")]:
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
