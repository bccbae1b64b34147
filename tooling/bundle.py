"""Fill a folder with all that hosts without a way out need: Python packages and .deb files.

    scripts/bundle dist --release 3.3.2 --distribution "Debian 12"

With airflow_bundle = "dist" a deploy needs neither a package index nor a mirror. The Python
packages are fetched by scripts/wheelhouse. The .deb files are fetched by apt from the mirrors that
it knows on this machine, and checked with its keys; for the smallest host they are enough. It may
be another version of the hosts' distribution that runs here; where it is another distribution,
--sources names a file of mirrors. Run again, for more or for what is newer, it fetches what is
missing, and removes .deb files that are out of date.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from tasks.catalog import distributions, releases
from tasks.catalog.bundle import Bundle
from tasks.catalog.model import Release
from tooling.apt import ARCHITECTURES, CODENAMES, Apt, fill_debs
from tooling.terminal import ToolError, ended, parser, say
from tooling.wheelhouse import gather


def apt_packages(release: Release, extras: Sequence[str], distribution: str) -> list[str]:
    """List the apt packages that hosts of a distribution need for a release with ``extras``."""
    every = (*release.needed_extras, *extras)
    return distributions.apt_packages(release, every, distribution)


def _arguments() -> argparse.Namespace:
    asked = parser(__doc__)
    asked.add_argument("folder", type=Path, help="made where it is missing")
    asked.add_argument(
        "--release",
        action="append",
        required=True,
        help="Airflow's, such as 3.3.2; may be repeated",
    )
    asked.add_argument(
        "--distribution",
        action="append",
        required=True,
        choices=CODENAMES,
        help='such as "Debian 12"; may be repeated',
    )
    asked.add_argument(
        "--extra", action="append", default=[], help="one of airflow_extras; may be repeated"
    )
    asked.add_argument("--lock", type=Path, help="airflow_lock, where the inventory sets it")
    asked.add_argument(
        "--machine", choices=ARCHITECTURES, default=platform.machine(), help="default: this one's"
    )
    asked.add_argument(
        "--sources", type=Path, help="a file of apt's sources, instead of this machine's"
    )
    given = asked.parse_args()
    if given.lock and len(given.release) > 1:
        asked.error("--lock is of one release: give one")
    if given.sources and len(given.distribution) > 1:
        asked.error("--sources is of one distribution: give one")
    return given


def pairs(given: argparse.Namespace) -> list[tuple[Release, str]]:
    """List the releases with the distributions that have a Python for them."""
    found = []
    for release in map(releases.find, given.release):
        if sentence := releases.unknown_extra(release, given.extra):
            raise ToolError(sentence)
        fitting = [each for each in given.distribution if each in distributions.fitting(release)]
        if not fitting:
            distributions.interpreter(release, given.distribution[0])
        found += [(release, each) for each in fitting]
    return found


def main() -> None:
    """Fill the folder that the command line names."""
    given = _arguments()
    bundle = Bundle(given.folder.absolute())
    wanted = pairs(given)
    for distribution in given.distribution:
        packages = {
            package
            for version in given.release
            for package in apt_packages(releases.find(version), given.extra, distribution)
        }
        debs = bundle.debs(distribution)
        fill_debs(Apt(distribution, given.machine, given.sources, debs), packages)
    more = {"extras": given.extra, "lock": given.lock, "machine": given.machine}
    for release, distribution in wanted:
        gather(release, distribution, bundle.wheels, **more)
    for folder in (bundle.wheels, *map(bundle.debs, given.distribution)):
        sizes = [path.stat().st_size for path in folder.iterdir()]
        say(f"{folder} holds {len(sizes)} files, {sum(sizes) >> 20} MiB")


if __name__ == "__main__":
    sys.exit(ended(main))
