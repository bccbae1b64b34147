"""Lock files: which distributions an environment holds, and what has to change. Pure.

A lock is a pip requirements file in which every line pins one distribution. A line that only
some extras need says so with a marker: ``bitarray==0.8.1 ; extra == "hive"``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version


class LockError(ValueError):
    """A line of a lock is not a pin."""


@dataclass(frozen=True)
class Wanted:
    """What an environment is to hold: a lock's pins, or what constraints make of a requirement."""

    pins: Mapping[str, str]
    """Canonical name -> version; with constraints only the installers."""
    requirement: str = ""
    constraints: str = ""

    @property
    def digest(self) -> str:
        """Name it by eight hexadecimal digits."""
        text = render(self.pins) + self.requirement + self.constraints
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Difference:
    """What separates an environment from its lock."""

    missing: tuple[str, ...]
    """Names to install, wrong versions included."""
    foreign: tuple[str, ...]
    """Names to remove."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.foreign)

    def __str__(self) -> str:
        parts = [f"install {name}" for name in self.missing]
        return ", ".join(parts + [f"remove {name}" for name in self.foreign])


def parse(text: str, extras: Iterable[str]) -> dict[str, str]:
    """Read the pins of a lock that ``extras`` want: canonical name -> version."""
    chosen = list(extras)
    pins: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        statement = line.split(" #")[0].strip()
        if statement and not statement.startswith("#"):
            requirement = _pin(statement, number)
            if _applies(requirement, chosen):
                pins[canonicalize_name(requirement.name)] = next(
                    iter(requirement.specifier)
                ).version
    return pins


def _pin(statement: str, number: int) -> Requirement:
    try:
        requirement = Requirement(statement)
    except InvalidRequirement:
        # Not quoted: it may be an index with a login.
        raise LockError(f"line {number} is not a requirement that pip can read") from None
    if [specifier.operator for specifier in requirement.specifier] != ["=="]:
        raise LockError(f"line {number} does not pin one version with ==")
    return requirement


def _applies(requirement: Requirement, extras: list[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


def unusable(line: str) -> str | None:
    """Return why a requirement can't be used."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return "this is not a requirement that pip can read"
    if requirement.url:
        return (
            f"{requirement.name} can't be installed from a URL: give a version that a package"
            " index has, or set airflow_wheelhouse"
        )
    return None


def contradicted(line: str, pins: Mapping[str, str]) -> str | None:
    """Return the pinned package with which a requirement can't be met."""
    requirement = Requirement(line)
    name = canonicalize_name(requirement.name)
    if requirement.marker or name not in pins:
        return None
    return None if requirement.specifier.contains(pins[name], prereleases=True) else name


def render(pins: Mapping[str, str]) -> str:
    """Return ``pins`` as a requirements file, sorted by name."""
    return "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))


def installed(entries: Iterable[str]) -> dict[str, str]:
    """Read the distributions from the names of ``*.dist-info`` and ``*.egg-info`` entries."""
    found: dict[str, str] = {}
    for entry in entries:
        stem = entry.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        name, _, version = stem.partition("-")
        if version:
            found[canonicalize_name(name)] = version.partition("-py")[0]
    return found


def difference(pins: Mapping[str, str], have: Mapping[str, str]) -> Difference:
    """Compare what a lock wants with what an environment has."""
    missing = [name for name in pins if not _same(pins[name], have.get(name))]
    foreign = [name for name in have if name not in pins]
    return Difference(tuple(sorted(missing)), tuple(sorted(foreign)))


def _same(wanted: str, have: str | None) -> bool:
    if have is None:
        return False
    try:
        return Version(wanted) == Version(have)
    except InvalidVersion:
        return wanted == have
