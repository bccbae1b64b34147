"""Fill a directory with every package of an Airflow release for one distribution.

    scripts/wheelhouse 3.3.2 "Debian 12" wheels

With airflow_wheelhouse = "wheels" a deploy needs no package index. Wheels are taken where the index
has one that the distribution's Python can use, else the source, which the host then builds. pip's
own configuration says which index that is, and how to reach it. What is in the directory already is
not fetched again.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from tasks.catalog import distributions, locks, releases
from tasks.catalog.model import Release
from tooling import ROOT
from tooling.index import Entry, Index
from tooling.terminal import ToolError, ended, parser, say

GLIBC = {
    "Debian 11": 31, "Debian 12": 36, "Debian 13": 41,
    "Ubuntu 22.04": 35, "Ubuntu 24.04": 39, "Ubuntu 26.04": 43,
}  # fmt: skip
"""Distribution -> minor version of its C library, which the names of wheels speak of."""
OLDER = {17: "2014", 12: "2010", 5: "1"}
"""Minor version of the C library -> year by which the wheels for it are called, too."""
BUILT_WITH = {"setuptools": "80.9.0", "wheel": "0.45.1"}
"""What uv builds a source with, in an environment apart."""


class Target(NamedTuple):
    """A Python on a distribution."""

    python: str
    glibc: int
    machine: str

    def tags(self) -> Iterator[Tag]:
        """Give the tags of the wheels that it can use, best first."""
        major, minor = map(int, self.python.split("."))
        interpreter = f"cp{major}{minor}"
        platforms = [*self._platforms()]
        abi = f"{interpreter}mu" if major == 2 else interpreter
        yield from cpython_tags((major, minor), [abi], platforms)
        yield from compatible_tags((major, minor), interpreter, platforms)

    def _platforms(self) -> Iterator[str]:
        for minor in range(self.glibc, 4, -1):
            yield f"manylinux_2_{minor}_{self.machine}"
            if minor in OLDER:
                yield f"manylinux{OLDER[minor]}_{self.machine}"
        yield f"linux_{self.machine}"


def choose(offered: list[Entry], target: Target) -> Entry | None:
    """Choose the wheel that suits the target best, or else the source."""
    ranks = {tag: rank for rank, tag in enumerate(target.tags())}
    sources = [entry for entry in offered if entry[1].package_type == "sdist"]
    wheels = [
        (min(ranks[tag] for tag in tags), number)
        for number, (_, package) in enumerate(offered)
        if package.package_type == "wheel"
        and (tags := parse_wheel_filename(package.filename)[3] & ranks.keys())
    ]
    return offered[min(wheels)[1]] if wheels else sources[0] if sources else None


def fill(folder: Path, pins: Mapping[str, str], target: Target, index: Index) -> list[str]:
    """Fetch what is missing of ``pins``, and give the names of those that are sources."""
    sources = []
    for name, version in sorted(pins.items()):
        chosen = choose(index.offered(name, version), target)
        if chosen is None:
            raise ToolError(f"the package index has no {name} {version}")
        client, package = chosen
        if not (folder / package.filename).exists():
            say(package.filename)
            client.download_package(package, folder / package.filename)
        if package.package_type == "sdist":
            sources.append(name)
    return sources


def gather(
    release: Release,
    distribution: str,
    folder: Path,
    *,
    extras: Collection[str],
    lock: Path | None,
    machine: str,
) -> None:
    """Fetch what a release with ``extras`` needs on a distribution, by its lock or another one."""
    glibc = GLIBC[distribution]
    python = distributions.interpreter(release, distribution).version
    text = (lock or ROOT / "files" / release.lock(python)).read_text()
    pins = {**locks.parse(text, (*release.needed_extras, *extras)), **release.seeds}
    folder.mkdir(parents=True, exist_ok=True)
    index = Index()
    sources = fill(folder, pins, Target(python, glibc, machine), index)
    system = Target(distributions.DISTRIBUTIONS[distribution][0].version, glibc, machine)
    fill(folder, locks.parse("\n".join(release.bootstrap), ()), system, index)
    if sources:
        say(f"the host will build {', '.join(sources)}")
        fill(folder, BUILT_WITH, system, index)


def _arguments() -> argparse.Namespace:
    asked = parser(__doc__)
    asked.add_argument("version", help="Airflow's, such as 3.3.2")
    asked.add_argument("distribution", choices=GLIBC, help='such as "Debian 12"')
    asked.add_argument("folder", type=Path, help="made where it is missing")
    asked.add_argument(
        "--extra", action="append", default=[], help="one of airflow_extras; may be repeated"
    )
    asked.add_argument("--lock", type=Path, help="airflow_lock, where the inventory sets it")
    asked.add_argument("--machine", default=platform.machine(), help="default: this one's")
    return asked.parse_args()


def main() -> None:
    """Fill the directory that the command line names."""
    given = _arguments()
    release = releases.find(given.version)
    more = {"extras": given.extra, "lock": given.lock, "machine": given.machine}
    gather(release, given.distribution, given.folder, **more)
    size = sum(file.stat().st_size for file in given.folder.iterdir()) >> 20
    say(f"{given.folder} holds {len(list(given.folder.iterdir()))} files, {size} MiB")


if __name__ == "__main__":
    sys.exit(ended(main))
