"""Fixtures that several modules share."""

from collections.abc import Iterator

import pytest

from tests.hosts import TESTS, Network


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """The network of the test hosts."""
    with Network(TESTS) as network:
        yield network
