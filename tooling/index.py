"""The package indexes that pip uses on this machine."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import requests
from packaging.version import InvalidVersion, Version
from pypi_simple import PYPI_SIMPLE_ENDPOINT, DistributionPackage, NoSuchProjectError, PyPISimple

Entry = tuple[PyPISimple, DistributionPackage]
"""A file, with the index that has it."""


class Index:
    """All indexes of pip's configuration together."""

    def __init__(self) -> None:
        known = _pip_configuration()
        session = requests.Session()
        if "cert" in known:
            session.verify = known["cert"]
        if "proxy" in known:
            session.proxies = dict.fromkeys(("http", "https"), known["proxy"])
        urls = [known.get("index-url", ""), *known.get("extra-index-url", "").split()]
        self.clients = [
            PyPISimple(url or PYPI_SIMPLE_ENDPOINT, session=session)
            for url in urls
            if not url.startswith("file:")
        ]

    def packages(self, name: str) -> Iterator[Entry]:
        """Yield all files of a project."""
        for client in self.clients:
            try:
                page = client.get_project_page(name)
            except NoSuchProjectError:
                continue
            yield from ((client, package) for package in page.packages)

    def offered(self, name: str, version: str) -> list[Entry]:
        """List the files of a release."""
        wanted = Version(version)
        return [entry for entry in self.packages(name) if version_of(entry[1]) == wanted]


def version_of(package: DistributionPackage) -> Version | None:
    """Return the version that a file is of, unless its name has none that can be compared."""
    try:
        return Version(package.version or "")
    except InvalidVersion:
        return None


def _pip_configuration() -> dict[str, str]:
    """Read pip's settings: files first, the environment's last, which overrule them."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    known = {}
    for line in sorted(output.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        known[key.rpartition(".")[2]] = ast.literal_eval(value)
    return known
