"""The deploy of each distribution, planned and carried out on hosts that only pretend."""

import re
from pathlib import Path

import pytest

from tests.support.cli import Deployment, Run

# The first command asks for the survey, for the host itself and for who has held it last.
INVENTORY = """
import time

mark = "==== pyinfra-airflow\\n"
system = (
    f"{id} {version}\\n{{int(time.time()) + {ahead}}}\\n2\\n"
    "MemTotal: {memory} kB\\n---\\n---\\nhost\\nyes"
)
hosts = (["@fake/host"{more}], {{
    "airflow_address": "192.0.2.10",
    "fake_delay": 0,
    "fake_delay_jitter": 0,
    "fake_responses": {{
        "pyinfra-airflow'; ( bash": f"{{mark}}{{mark}}{{system}}\\n{{mark}}",
        "os-release": system,
    }},
}})
postgresql = rabbitmq = api_server = scheduler = dag_processor = worker = ["@fake/host"]
"""


def deploy(
    folder: Path,
    distribution: str,
    release: str,
    *,
    more: str = "",
    ahead: int = 0,
    memory: int = 8192,
) -> Run:
    """Deploy to a pretended host, and give what was sent to it."""
    name, version = distribution.split()
    file = folder / "inventory.py"
    file.write_text(
        INVENTORY.format(
            id=name.lower(), version=version, more=more, ahead=ahead, memory=memory * 1024
        )
    )
    data = {"airflow_version": release, "airflow_secrets_file": str(folder / "secrets.json")}
    return Deployment(str(file), data).show("-y", "-vv")


@pytest.mark.parametrize(
    ("distribution", "release", "python"),
    [
        ("Ubuntu 22.04", "3.3.2", "python3.10"),
        ("Ubuntu 24.04", "3.3.2", "python3.12"),
        ("Ubuntu 26.04", "3.3.2", "python3.14"),
        ("Ubuntu 22.04", "2.11.2", "python3.10"),
        ("Ubuntu 24.04", "2.11.2", "python3.12"),
        ("Ubuntu 22.04", "1.8.2", "python2.7"),
    ],
)
def test_ubuntu_goes_the_same_way(
    tmp_path: Path, distribution: str, release: str, python: str
) -> None:
    run = deploy(tmp_path, distribution, release)
    assert run.code == 0, run.output
    sent = [line.split(">>> ")[1] for line in run.output.splitlines() if ">>> " in line]
    installed = " ".join(line for line in sent if "apt-get" in line and " install " in line)
    assert {"postgresql", "rabbitmq-server", "python3-venv"} <= set(installed.split())
    assert ("python2.7-dev" in installed) == (python == "python2.7")
    (made,) = [line for line in sent if f"/opt/airflow/{release}-" in line and python in line]
    assert "bootstrap/bin/" in made


@pytest.mark.parametrize(
    ("distribution", "release", "sentence"),
    [
        ("Debian 11", "3.3.2", "which Debian 11 does not have; take one of: Debian 12, Debian 13"),
        ("Debian 13", "2.11.2", "which Debian 13 does not have; take one of: Debian 12, Ubuntu"),
        ("Ubuntu 26.04", "2.11.2", "which Ubuntu 26.04 does not have; take one of: Debian 12"),
        ("Debian 12", "1.8.2", "which Debian 12 does not have; take one of: Debian 11, Ubuntu"),
        ("Fedora 40", "3.3.2", "which Fedora 40 does not have; take one of: Debian 12"),
    ],
)
def test_a_distribution_without_the_python_is_refused_before_anything_is_done(
    tmp_path: Path, distribution: str, release: str, sentence: str
) -> None:
    run = deploy(tmp_path, distribution, release)
    assert run.code != 0
    assert sentence in run.output
    assert "Starting operation" not in run.output
    assert "Traceback" not in run.output


def test_a_wrong_setting_ends_the_run_before_any_connection(tmp_path: Path) -> None:
    run = deploy(tmp_path, "Debian 12", "3.3.3000")
    assert run.code != 0
    assert "airflow_version 3.3.3000 has no lock here: give airflow_lock" in run.output
    assert "Connecting to hosts" not in run.output
    assert "Traceback" not in run.output


def test_a_host_in_no_group_ends_the_run_before_any_connection(tmp_path: Path) -> None:
    run = deploy(tmp_path, "Debian 12", "3.3.2", more=', "@fake/idle"')
    assert run.code != 0
    assert "host @fake/idle is in no component's group: put it in one or more of" in run.output
    assert "Connecting to hosts" not in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize(("ahead", "how"), [(7200, "ahead of"), (-7200, "behind")])
def test_a_clock_two_hours_off_is_refused_before_anything_is_done(
    tmp_path: Path, ahead: int, how: str
) -> None:
    run = deploy(tmp_path, "Debian 12", "3.3.2", ahead=ahead)
    assert run.code != 0
    assert re.search(rf"the clock of @fake/host is 7[12]\d\d s {how} this machine's", run.output)
    assert "Starting operation" not in run.output
    assert "Traceback" not in run.output


def test_too_little_memory_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    run = deploy(tmp_path, "Debian 12", "3.3.2", memory=500)
    assert run.code != 0
    assert "host @fake/host has 500 MiB of memory and 500 of swap, but needs" in run.output
    assert "set airflow_swap" in run.output
    assert "Starting operation" not in run.output
    assert "Traceback" not in run.output
