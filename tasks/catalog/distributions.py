"""Distributions: their Pythons and PostgreSQL, and names of apt packages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from . import servers
from .model import Interpreter, NoInterpreterError, Release

_PY27 = Interpreter("2.7", ("python2.7", "python2.7-dev"))

DISTRIBUTIONS: Mapping[str, tuple[Interpreter, ...]] = {
    "Debian 11": (Interpreter("3.9", ("python3",)), _PY27),
    "Debian 12": (Interpreter("3.11", ("python3",)),),
    "Debian 13": (Interpreter("3.13", ("python3",)),),
    "Ubuntu 22.04": (Interpreter("3.10", ("python3",)), _PY27),
    "Ubuntu 24.04": (Interpreter("3.12", ("python3",)),),
    "Ubuntu 26.04": (Interpreter("3.14", ("python3",)),),
}

POSTGRESQL: Mapping[str, int] = {
    "Debian 11": 13,
    "Debian 12": 15,
    "Debian 13": 17,
    "Ubuntu 22.04": 14,
    "Ubuntu 24.04": 16,
    "Ubuntu 26.04": 18,
}
"""Distribution -> the major version of its PostgreSQL, whose pg_dump backs up no newer server."""

APT: Mapping[str, tuple[str, ...]] = {
    "system": ("ca-certificates", "iproute2", "procps", "python3", "util-linux"),
    "firewall": ("nftables",),
    "client": ("postgresql-client",),
    "repository": ("git", "openssh-client"),
}
"""What installs them -> apt packages that are the same for every release; servers have theirs."""


def interpreter(release: Release, distribution: str) -> Interpreter:
    """Choose the Python for ``release`` on ``distribution``, such as ``Debian 11``.

    NoInterpreterError says which distributions have one.
    """
    offered = {python.version: python for python in DISTRIBUTIONS.get(distribution, ())}
    for version in release.pythons:
        if version in offered:
            return offered[version]
    raise NoInterpreterError(
        f"Airflow {release.version} runs on Python {' or '.join(release.pythons)}, which "
        f"{distribution} does not have; take one of: {', '.join(fitting(release))}"
    )


def fitting(release: Release) -> list[str]:
    """List the distributions that have a Python for ``release``."""
    return [
        name
        for name, pythons in DISTRIBUTIONS.items()
        if any(python.version in release.pythons for python in pythons)
    ]


def os_packages(release: Release, extras: Iterable[str]) -> list[str]:
    """List the apt packages that the release and its ``extras`` are built and run with."""
    wanted = set(release.build_packages)
    for extra in extras:
        wanted.update(release.extras[extra])
    return sorted(wanted)


def python_packages(release: Release, extras: Iterable[str], python: Interpreter) -> list[str]:
    """List the apt packages that bring ``python``, and those of ``os_packages``."""
    return [*python.packages, "python3-venv", *os_packages(release, extras)]


def apt_packages(
    release: Release,
    extras: Iterable[str],
    distribution: str,
    groups: Collection[str] | None = None,
) -> list[str]:
    """List every apt package that a host of ``distribution`` may be asked to have.

    With ``groups``, servers that are like another one count only where they are wanted.
    """
    had = [
        each
        for each in servers.EVERY
        if each.to_be_had(distribution)
        and (groups is None or not each.like or each.group in groups)
    ]
    every = (*APT.values(), *(server.packages for server in had))
    wanted = {name for names in every for name in names}
    if distribution in fitting(release):
        wanted.update(python_packages(release, extras, interpreter(release, distribution)))
    return sorted(wanted)
