"""The release table: what each version of Airflow needs. Pure data and pure look-ups.

Nothing outside this folder asks for a version number: it asks the release.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches

from packaging.version import InvalidVersion, Version

from . import servers
from .airflow_1 import AIRFLOW_1_8, AIRFLOW_1_10
from .airflow_2 import AIRFLOW_2_11
from .airflow_3 import AIRFLOW_3_3
from .model import SECRET_MEANINGS, Component, Release, UnknownReleaseError

HEALTH = Component(
    "health",
    (),
    "python {lib}/airflow_health.py {health}",
    "health summary",
    probe=("health",),
    memory=45,
    withheld=frozenset(SECRET_MEANINGS),
)
"""What answers load balancers, beside the components of every release."""

RELEASES: tuple[Release, ...] = (AIRFLOW_3_3, AIRFLOW_2_11, AIRFLOW_1_10, AIRFLOW_1_8)
DEFAULT = AIRFLOW_3_3.version
GROUPS: tuple[str, ...] = (
    *(server.group for server in servers.EVERY if server.role is not servers.Role.EXPORTER),
    *dict.fromkeys(c.groups[0] for release in RELEASES for c in release.components),
    *(server.group for server in servers.EXPORTERS),
)
"""Every group of an inventory that means something here."""


def find(version: str) -> Release:
    """Look a release up, or its line with another patch number.

    UnknownReleaseError names the releases that the table has.
    """
    for release in RELEASES:
        if release.version == version:
            return release
    for release in RELEASES:
        if release.version.rpartition(".")[0] == version.rpartition(".")[0]:
            return replace(release, version=version)
    known = [release.version for release in RELEASES]
    raise UnknownReleaseError(
        f"this package supports the releases {', '.join(known)} and their lines: the "
        f"nearest is {_nearest(version, known)}"
    )


def no_way(before: str, after: str) -> str | None:
    """Return why the database of release ``before`` can't become one of ``after``, if it can't.

    A line of releases leads to the next one in the table, whose migrations know it.
    """
    if Version(before) > Version(after):
        return f"Airflow {before} is newer than {after}, and a database can't be downgraded"
    first, last = _line(before), _line(after)
    between = [each for each in reversed(RELEASES) if first < _line(each.version) < last]
    if between:
        steps = " and then ".join(release.version for release in between)
        return f"Airflow {before} can't be upgraded to {after} directly: upgrade to {steps} first"
    return None


def _line(version: str) -> tuple[int, ...]:
    return Version(version).release[:2]


def _nearest(version: str, known: list[str]) -> str:
    """Return the next newer one, to which it would be upgraded."""
    try:
        newer = [other for other in known if Version(other) > Version(version)]
    except InvalidVersion:
        newer = []
    return newer[-1] if newer else known[0]


def is_shipped(version: str) -> bool:
    """Return whether there is a lock for exactly this release."""
    return version in [release.version for release in RELEASES]


def unknown_extra(release: Release, extras: Iterable[str]) -> str | None:
    """Return a sentence about those of ``extras`` that the release does not have, if any."""
    for extra in extras:
        if extra not in release.extras:
            near = get_close_matches(extra, release.extras, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(release.extras)}"
            name = f"extra {extra}" if near else "such extra"
            return f"Airflow {release.version} has no {name}: {hint}"
    return None
