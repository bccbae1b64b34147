"""Fixtures that several modules share."""

from collections.abc import Iterator

import pytest

from tests.hosts import TESTS, Network
from tests.receivers import Receivers
from tests.receivers import receivers as running

pytest.register_assert_rewrite("tests.deliveries", "tests.housekeeping", "tests.reports")


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
