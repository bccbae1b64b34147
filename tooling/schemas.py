"""Add new releases of Airflow to files/schemas.json, which tells releases by their migrations.

    scripts/schemas

Fetches the releases that the table lacks, and reads their migrations without running anything.
pip's own configuration says which package index that is, and how to reach it. Withdrawn releases
count, as there are databases of them; pre-releases do not. To read all releases anew, write {} to
the table first.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pypi_simple import DistributionPackage, PyPISimple

from tasks.catalog.schemas import Schema, known
from tooling import ROOT
from tooling.index import Entry, Index, version_of
from tooling.terminal import ToolError, ended, parser, say

sys.path += [str(ROOT / "files/host/called"), str(ROOT / "files/host/imported")]

from airflow_probe import assigned

TABLE = ROOT / "files/schemas.json"
PACKAGES = {"apache-airflow": SpecifierSet(">=1.8,<3"), "apache-airflow-core": SpecifierSet(">=3")}
"""Package that has the migrations -> its versions that do."""
MIGRATION = re.compile(r"(^|/)airflow/migrations/versions/[^/]+\.py$")


def offered(index: Index) -> dict[Version, Entry]:
    """List the releases that the index has, each with a package: a wheel where there is one."""
    found = {}
    for name, versions in PACKAGES.items():
        for client, package in sorted(index.packages(name), key=_is_wheel):
            version = version_of(package)
            if version and versions.contains(version, prereleases=False):
                found[version] = client, package
    return found


def _is_wheel(entry: Entry) -> bool:
    return entry[1].package_type == "wheel"


def migrations(archive: Path) -> Iterator[str]:
    """Give the texts of the migrations in a wheel or a source."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in filter(MIGRATION.search, wheel.namelist()):
                yield wheel.read(name).decode()
    else:
        with tarfile.open(archive) as source:
            for member in source:
                if MIGRATION.search(member.name) and (file := source.extractfile(member)):
                    yield file.read().decode()


def read(archive: Path) -> Schema:
    """Read the schema of a release, as hosts do it with what is installed."""
    revisions: set[str] = set()
    followed: set[str] = set()
    for text in migrations(archive):
        revisions.update(assigned("revision", text))
        followed.update(assigned("down_revision", text))
    if not revisions:
        raise ToolError(f"{archive.name} has no migrations: is it another package that has them?")
    return Schema(frozenset(revisions - followed), frozenset(revisions))


def fetch(client: PyPISimple, package: DistributionPackage) -> Schema:
    """Fetch a release and read its schema."""
    say(package.filename)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / package.filename
        client.download_package(package, archive)
        return read(archive)


def missing(present: Mapping[Version, Schema], index: Index) -> dict[Version, Schema]:
    """Fetch the releases that the table lacks."""
    return {
        version: fetch(*entry)
        for version, entry in sorted(offered(index).items())
        if version not in present
    }


def table(schemas: Mapping[Version, Schema]) -> dict[str, dict[str, list[str]]]:
    """Write the schemas as differences from each release to the next one."""
    rows = {}
    before: frozenset[str] = frozenset()
    for version, (heads, revisions) in sorted(schemas.items()):
        entry = {"heads": heads, "adds": revisions - before, "drops": before - revisions}
        rows[str(version)] = {key: sorted(values) for key, values in entry.items() if values}
        before = revisions
    return rows


def main() -> None:
    """Add to the table what it lacks."""
    parser(__doc__).parse_args()
    present = known()
    new = missing(present, Index())
    TABLE.write_text(json.dumps(table({**present, **new}), indent=1) + "\n")
    say(f"{TABLE.relative_to(ROOT)} holds {len(present) + len(new)} releases, {len(new)} new")


if __name__ == "__main__":
    sys.exit(ended(main))
