"""apt packages, from the mirrors or from a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from pyinfra import host
from pyinfra.api import FactBase, FileUploadCommand, QuoteString, StringCommand, operation

from ..catalog.bundle import apt_configuration
from ..settings import Settings, SettingsError
from .look import Wide, look
from .machine import HostSystem
from .steps import Commands


@dataclass(frozen=True)
class Apt:
    """Which packages there are, and whether apt's lists are of today."""

    installed: frozenset[str]
    fresh: bool


APT_STAMP = "/var/lib/apt/periodic/update-success-stamp"
"""What Debian's own timers touch after an update, and pyinfra too."""


class AptPackages(Wide[Apt]):
    """Which of ``packages`` are installed."""

    wide = "packages"

    @staticmethod
    def default() -> Apt:
        return Apt(frozenset(), False)

    def command(self, packages: tuple[str, ...]) -> StringCommand:
        return StringCommand(
            "dpkg-query -W -f '${db:Status-Status} ${Package}\\n'",
            *map(QuoteString, packages),
            f"2>/dev/null; find {APT_STAMP} -mmin -1440 2>/dev/null || true",
        )

    def process(self, output: list[str]) -> Apt:
        pairs = (line.partition(" ") for line in output)
        installed = frozenset(name for state, _, name in pairs if state == "installed")
        return Apt(installed, APT_STAMP in output)


class AptFiles(FactBase[list[str]]):
    """Names of the files with which apt would install ``packages``, by ``configuration``."""

    default = list

    def command(self, configuration: str, packages: tuple[str, ...]) -> StringCommand:
        return StringCommand(
            "apt-get -qq -c", configuration, "install --no-install-recommends --print-uris",
            *map(QuoteString, packages), "2>/dev/null || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> list[str]:
        uris = (line.split("'")[1] for line in output if line.startswith("'"))
        return [unquote(uri.rpartition("/")[2]) for uri in uris]


_LOCK_WITHIN = 600
"""Seconds to wait for another process that holds one of apt's locks, such as a new host's own."""

# `apt-get update` has no option to wait for its lock.
_UPDATE = (
    f"end=$(($(date +%s) + {_LOCK_WITHIN})); while ! said=$(LC_ALL=C apt-get update -q 2>&1); do"
    ' case $said in *"held by process"*) test $(date +%s) -lt $end && sleep 2 && continue ;; esac;'
    f' echo "$said" >&2; exit 1; done; touch {APT_STAMP}'
)

_INSTALL = (
    "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends"
    f" -o DPkg::Lock::Timeout={_LOCK_WITHIN}"
    ' -o Dpkg::Options::="--force-confdef" -o Dpkg::Options::="--force-confold"'
)

DELIVERED = "/var/lib/pyinfra-airflow"
"""Where a host has the bundle's files while it installs them."""
_APT_CONF = f"{DELIVERED}/apt.conf"
_APT_FILES = {
    "apt.conf": apt_configuration(
        {
            "Dir::State::lists": f"{DELIVERED}/lists/",
            "Dir::Cache": f"{DELIVERED}/cache/",
            "Dir::Etc::sourcelist": f"{DELIVERED}/sources.list",
            "APT::Sandbox::User": "root",
        }
    ),
    # The index has the checksums of the archive, whose key the controller's apt has checked.
    "sources.list": f"deb [trusted=yes] file:{DELIVERED} ./\n",
}
_NOT_FROM_BUNDLE = (
    ' || { echo "the packages could not be installed from airflow_bundle: if this host has newer'
    ' ones than the bundle, fill that again with scripts/bundle" >&2; false; }'
)


@operation()
def packages(packages: Sequence[str], *, debs: Path | None = None, masked: str = "") -> Commands:
    """Install apt packages, with lists of today, waiting while another process holds apt's locks.

    Lists grow old every day; that alone is no change. With the folder ``debs`` of a bundle no
    mirror is asked. ``masked`` is a unit that they would start, and that stays off; where they are
    there already it is somebody's, and left alone.
    """
    have = look(AptPackages, packages=tuple(packages))
    missing = [name for name in packages if name not in have.installed]
    if not missing:
        host.noop(f"{', '.join(packages)} are installed")
        return
    if masked:
        yield f"systemctl mask -q {masked}"
    if debs:
        yield from _from_bundle(debs, missing)
        return
    if not have.fresh:
        yield _UPDATE
    yield StringCommand(_INSTALL, *map(QuoteString, missing))


def _from_bundle(debs: Path, packages: Sequence[str]) -> Commands:
    """Carry to the host what it lacks, install that, and leave nothing of it behind."""
    yield f"rm -rf {DELIVERED} && mkdir -p {DELIVERED}/lists/partial {DELIVERED}/cache"
    for name, text in _APT_FILES.items():
        yield _delivered(StringIO(text), name)
    yield _delivered(str(debs / "Packages"), "Packages")
    yield f"apt-get -c {_APT_CONF} update -q"
    for name in host.get_fact(AptFiles, configuration=_APT_CONF, packages=tuple(packages)):
        yield _delivered(str(debs / name), name)
    words = map(QuoteString, packages)
    yield StringCommand(
        _INSTALL, "-c", _APT_CONF, *words, _NOT_FROM_BUNDLE, f"&& rm -r {DELIVERED}"
    )


def _delivered(source: str | IO[str], name: str) -> FileUploadCommand:
    target = f"{DELIVERED}/{name}"
    return FileUploadCommand(source, target, host.get_temp_filename(target))


def debs_here(settings: Settings) -> Path | None:
    """Return the bundle's folder for the host's distribution; None without a bundle.

    SettingsError says what a bundle lacks.
    """
    if settings.bundle is None:
        return None
    distribution = look(HostSystem).distribution
    if sentence := settings.lacks_debs(distribution):
        raise SettingsError(f"host {host.name}: {sentence}")
    return settings.bundle.debs(distribution)
