"""Which releases of Airflow have made a database: what their migrations are, and how far they go.

files/schemas.json has, for each release in the order of versions, the revisions that a database
of it has in alembic_version (``heads``), and which migrations it has in addition to those of the
release before (``adds``) or lacks of them (``drops``). scripts/schemas adds new releases.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Literal, NamedTuple

from packaging.version import Version

from ..resources import resource

Age = Literal["same", "older", "too old", "newer", "unknown"]


class Schema(NamedTuple):
    """The migrations of a release."""

    heads: frozenset[str]
    """Those that no other one follows: what the release's databases have in alembic_version."""
    revisions: frozenset[str]
    """All of them: from where else the release can migrate a database."""


_NONE = Schema(frozenset(), frozenset())


@cache
def known() -> Mapping[Version, Schema]:
    """Read the table: the schema of each release, oldest first."""
    table = json.loads(resource("schemas.json").read_text())
    found = {}
    revisions: frozenset[str] = frozenset()
    for version, entry in table.items():
        revisions = (revisions | {*entry.get("adds", ())}) - {*entry.get("drops", ())}
        found[Version(version)] = Schema(frozenset(entry["heads"]), revisions)
    return found


def releases_at(revisions: Iterable[str]) -> tuple[str, ...]:
    """Return the releases whose heads ``revisions`` are, oldest first; empty when there are none.

    Most migrations come with the first release of a line, so that several releases share heads.
    """
    wanted = frozenset(revisions)
    return tuple(str(version) for version, schema in known().items() if schema.heads == wanted)


def first_with(revision: str) -> str:
    """Return the first release that has the migration; empty when none has it."""
    having = (str(version) for version, schema in known().items() if revision in schema.revisions)
    return next(having, "")


def has(version: str) -> bool:
    """Return whether the table has exactly this release."""
    return Version(version) in known()


def heads_of(version: str) -> frozenset[str]:
    """Return what a database of this release has in alembic_version.

    A release that the table lacks has what the last one before it in its line has; empty when the
    table has none.
    """
    return _schema(version).heads


def compare(revisions: Iterable[str], version: str) -> Age:
    """Return how old a database with ``revisions`` is, compared with the wanted release.

    ``older``: the release can migrate it; ``too old``: it can't, as it no longer has the
    migrations from there; ``unknown``: no release has one of the revisions, or there are none.
    """
    found, wanted = frozenset(revisions), _schema(version)
    if not found or not wanted.heads or _strange(found):
        return "unknown"
    if found == wanted.heads:
        return "same"
    missing = found - wanted.revisions
    if any(Version(first_with(revision)) > Version(version) for revision in missing):
        return "newer"
    return "too old" if missing else "older"


def describe(revisions: Iterable[str]) -> str:
    """Return the Airflow that created a database with ``revisions``, as words for a sentence."""
    found = frozenset(revisions)
    if not found:
        return "an unknown Airflow (no revision)"
    if strange := _strange(found):
        return f"an unknown Airflow (revision{'s' * (len(strange) > 1)} {', '.join(strange)})"
    if releases := releases_at(found):
        return "Airflow " + " to ".join(dict.fromkeys((releases[0], releases[-1])))
    return _between(max(Version(first_with(revision)) for revision in found))


def _schema(version: str) -> Schema:
    wanted = Version(version)
    line = [
        other for other in known() if other.release[:2] == wanted.release[:2] and other <= wanted
    ]
    return known()[line[-1]] if line else _NONE


def _strange(revisions: Iterable[str]) -> list[str]:
    """List those that no release has."""
    return sorted(revision for revision in revisions if not first_with(revision))


def _between(version: Version) -> str:
    """Return the name of a state between releases."""
    before = [other for other in known() if other < version]
    return f"between Airflow {before[-1]} and {version}" if before else f"before Airflow {version}"
