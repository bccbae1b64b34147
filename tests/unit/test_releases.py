"""The release table."""

import pytest

from tasks.catalog import distributions, releases
from tasks.catalog.model import NoInterpreterError, UnknownReleaseError

RELEASE = releases.find("1.8.2")


def test_another_patch_release_of_a_line_is_known_without_a_lock() -> None:
    release = releases.find("3.3.1")
    assert (release.version, release.health_paths) == ("3.3.1", releases.RELEASES[0].health_paths)
    assert not releases.is_shipped("3.3.1")


def test_an_unknown_release_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownReleaseError, match=r"releases .*1\.8\.2"):
        releases.find("1.9.0")


@pytest.mark.parametrize("distribution", ["Debian 11", "Ubuntu 22.04"])
def test_a_distribution_with_its_python_is_taken(distribution: str) -> None:
    python = distributions.interpreter(RELEASE, distribution)
    assert (python.version, python.packages) == ("2.7", ("python2.7", "python2.7-dev"))


@pytest.mark.parametrize("distribution", ["Debian 12", "Ubuntu 24.04", "Fedora 40"])
def test_one_without_is_refused_with_those_that_have_it(distribution: str) -> None:
    with pytest.raises(NoInterpreterError) as refusal:
        distributions.interpreter(RELEASE, distribution)
    assert str(refusal.value) == (
        f"Airflow 1.8.2 runs on Python 2.7, which {distribution} does not have;"
        " take one of: Debian 11, Ubuntu 22.04"
    )


def test_extras_bring_their_apt_packages() -> None:
    assert "libkrb5-dev" in distributions.os_packages(RELEASE, ["kerberos", "s3"])
    assert "libkrb5-dev" not in distributions.os_packages(RELEASE, ["s3"])


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("1.8.2", "1.10.15", None),
        ("2.11.2", "3.3.2", None),
        ("3.3.1", "3.3.2", None),
        ("1.8.2", "3.3.2", "upgrade to 1.10.15 and then 2.11.2 first"),
        ("3.3.2", "2.11.2", "a database can't be downgraded"),
        ("2.7.3", "2.11.2", None),
        (
            "2.7.3",
            "3.3.2",
            "Airflow 2.7.3 can't be upgraded to 3.3.2 directly: upgrade to 2.11.2 first",
        ),
        ("1.9.0", "2.11.2", "upgrade to 1.10.15 first"),
    ],
)
def test_a_line_leads_to_the_next_one_alone(before: str, after: str, why: str | None) -> None:
    sentence = releases.no_way(before, after)
    assert sentence is None if why is None else why in str(sentence)
