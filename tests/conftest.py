"""Fixtures that several modules share."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from tests.support.hosts import TESTS, Network
from tests.support.receivers import Receivers
from tests.support.receivers import receivers as running

pytest.register_assert_rewrite(
    "tests.support.deliveries", "tests.support.housekeeping", "tests.support.reports"
)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """The network of the test hosts."""
    with Network(TESTS) as network:
        yield network


@pytest.fixture(scope="session")
def receivers(network: Network) -> Iterator[Receivers]:
    """A mail server and a web server that the test hosts reach."""
    with running(network) as receivers:
        yield receivers


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as it would be published."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (found,) = folder.glob("*.whl")
    assert list(folder.glob("*.tar.gz"))  # the wheel was built from this sdist
    return found


@pytest.fixture(scope="session")
def python(wheel: Path) -> Path:
    """A fresh environment that holds the wheel, as another project has it."""
    environment = wheel.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    subprocess.run([environment / "bin/pip", "install", "-q", str(wheel)], check=True)
    return environment / "bin/python"
