"""Locks: what an environment holds against what it should hold."""

import pytest

from tasks.catalog import locks, releases
from tasks.catalog.model import Release
from tasks.resources import resource

LOCK = """
# a comment
celery==3.1.26.post2  # the last
Flask_Login==0.2.11
bitarray==0.8.1 ; extra == "hive" or extra == "all"
"""


def test_only_the_pins_of_the_chosen_extras_count() -> None:
    assert locks.parse(LOCK, ()) == {"celery": "3.1.26.post2", "flask-login": "0.2.11"}
    assert locks.parse(LOCK, ["hive"])["bitarray"] == "0.8.1"


@pytest.mark.parametrize("line", ["celery>=3", "celery", "celery==3.*,!=3.1", "-r x"])
def test_a_line_that_pins_nothing_is_refused(line: str) -> None:
    with pytest.raises(locks.LockError):
        locks.parse(line, ())


@pytest.mark.parametrize(
    ("entry", "name", "version"),
    [
        ("lib/python2.7/site-packages/celery-4.0.2.dist-info", "celery", "4.0.2"),
        ("lib/python2.7/site-packages/Flask_Login-0.2.11-py2.7.egg-info", "flask-login", "0.2.11"),
        ("x/zope.deprecation-4.3.0-py2.7.egg-info", "zope-deprecation", "4.3.0"),
        ("x/celery-3.1.26.post2.dist-info", "celery", "3.1.26.post2"),
    ],
)
def test_distributions_are_read_from_their_folders(entry: str, name: str, version: str) -> None:
    assert locks.installed([entry]) == {name: version}


def test_a_difference_names_what_is_missing_wrong_and_foreign() -> None:
    wanted = {"celery": "3.1.26.post2", "kombu": "3.0.37", "pytz": "2024.2"}
    have = {"celery": "4.0.2", "vine": "1.3.0", "pytz": "2024.2.0"}
    found = locks.difference(wanted, have)
    assert (found.missing, found.foreign) == (("celery", "kombu"), ("vine",))
    assert not locks.difference(wanted, wanted)


@pytest.mark.parametrize("release", releases.RELEASES, ids=lambda release: release.version)
def test_every_shipped_lock_is_right_for_its_release(release: Release) -> None:
    for python in release.pythons:
        text = resource(release.lock(python)).read_text()
        pins = locks.parse(text, release.extras)
        assert pins[release.package] == release.version
        assert release.celery.contains(pins["celery"], prereleases=True)
        assert set(release.needed_extras) <= set(release.extras)
