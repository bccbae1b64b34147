"""Fixtures that several modules share."""

from collections.abc import Iterator

import pytest

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
