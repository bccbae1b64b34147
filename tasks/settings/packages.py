"""Airflow's packages: which ones, and where they come from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from packaging.specifiers import SpecifierSet
from pydantic import AfterValidator, SecretStr

from ..catalog import distributions, locks, releases
from ..catalog.bundle import Bundle
from ..catalog.wheelhouse import Wheelhouse
from . import urls
from .part import Part
from .types import ExistingPath, Secret, Words, is_there, without_login


def _folder_of_wheels(value: SecretStr) -> SecretStr:
    folder = Wheelhouse(value.get_secret_value()).folder
    if folder and not (is_there(folder) and folder.is_dir()):
        raise ValueError("there is no such folder on this machine: make it with scripts/wheelhouse")
    return value


class Packages(Part):
    """Airflow's packages: which ones, and where they come from."""

    airflow_extras: Words = ()
    """Extras of Airflow beyond those that the stack needs: a list, or one text with commas."""
    airflow_lock: ExistingPath | None = None
    """Lock file on the controller instead of the shipped one; pins everything with `==`."""
    airflow_constraints: Annotated[str, AfterValidator(without_login)] | None = None
    """URL or file of constraints instead of a lock, such as Airflow's official ones."""
    airflow_wheelhouse: Annotated[Secret, AfterValidator(_folder_of_wheels)] | None = None
    """Folder on the controller or URL of a page of links, with all packages; replaces the index."""
    airflow_bundle: Path | None = None
    """Folder on the controller filled by `scripts/bundle`: replaces index and mirror."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that the stack needs and those that were asked for."""
        metrics = ("statsd",) if self.topology.statsd else ()
        return tuple(dict.fromkeys((*self.release.needed_extras, *metrics, *self.airflow_extras)))

    @property
    def wheelhouse(self) -> Wheelhouse | None:
        """The source of packages in place of a package index, if there is one."""
        place = self.secret("airflow_wheelhouse")
        if self.bundle:
            place = str(self.bundle.wheels)
        return Wheelhouse(place) if place else None

    @property
    def bundle(self) -> Bundle | None:
        """The source of packages in place of an index and a mirror, if there is one."""
        return Bundle(self.airflow_bundle) if self.airflow_bundle else None

    def lacks(self, pins: Mapping[str, str]) -> str | None:
        """Return which of ``pins`` the wheelhouse lacks."""
        wheelhouse = self.wheelhouse
        if wheelhouse is None or not (missing := wheelhouse.missing(pins)):
            return None
        if self.bundle:
            setting, command = f"airflow_bundle {self.bundle.folder}", self.filling()
        else:
            setting = f"airflow_wheelhouse {wheelhouse.place}"
            command = shlex.join(["scripts/wheelhouse", self.airflow_version, *self._more_extras])
        return f"{setting} lacks {', '.join(missing)}: fill it with {command}"

    def lacks_debs(self, distribution: str) -> str | None:
        """Return what the bundle lacks for a host of ``distribution``."""
        here = self.topology.components
        packages = distributions.apt_packages(self.release, self.extras, distribution, here)
        missing = self.bundle.missing(distribution, packages) if self.bundle else []
        if not missing:
            return None
        return (
            f"airflow_bundle {self.airflow_bundle} lacks {', '.join(missing)} for {distribution}: "
            f"fill it with {self.filling(distribution)}"
        )

    def filling(self, distribution: str | None = None, *, folder: str = "") -> str:
        """Return the command that fills the bundle, for a fitting distribution or this one."""
        distribution = distribution or distributions.fitting(self.release)[0]
        words = ["--release", self.airflow_version, "--distribution", distribution]
        folder = folder or str(self.airflow_bundle)
        return shlex.join(["scripts/bundle", folder, *words, *self._more_extras])

    @property
    def _more_extras(self) -> list[str]:
        """The options for the extras that not every stack of the release needs."""
        more = [extra for extra in self.extras if extra not in self.release.needed_extras]
        return [word for extra in more for word in ("--extra", extra)]


def _unshipped(packages: Packages) -> str | None:
    given = packages.airflow_lock or packages.airflow_constraints
    if given or releases.is_shipped(packages.airflow_version):
        return None
    return (
        f"airflow_version {packages.airflow_version} has no lock here: give airflow_lock, "
        f"or take one of {', '.join(release.version for release in releases.RELEASES)}"
    )


def _unknown_extras(packages: Packages) -> str | None:
    unknown = releases.unknown_extra(packages.release, packages.airflow_extras)
    return unknown and f"airflow_extras: {unknown}"


def _unfit_lock(packages: Packages) -> str | None:
    if packages.airflow_lock is None:
        return None
    try:
        pins = locks.parse(packages.airflow_lock.read_text(), packages.extras)
    except (OSError, locks.LockError) as error:
        return f"airflow_lock {packages.airflow_lock} can't be used: {error}"
    release = packages.release
    ranges = {
        release.package: SpecifierSet(f"=={release.version}"),
        "celery": release.celery,
        **({"statsd": SpecifierSet(">=3")} if packages.topology.statsd else {}),
    }
    for name, fitting in ranges.items():
        if name not in pins or not fitting.contains(pins[name], prereleases=True):
            return (
                f"airflow_lock pins {name} {pins.get(name, 'nowhere')}, but Airflow "
                f"{release.version} needs {fitting}: fix the lock or airflow_version"
            )
    return None


def _unfit_bundle(packages: Packages) -> str | None:
    """Return what the bundle lacks that a host of any distribution would need."""
    if packages.bundle is None:
        return None
    if packages.airflow_wheelhouse:
        return "airflow_bundle has wheels as well: leave airflow_wheelhouse out"
    if not is_there(packages.bundle.wheels):
        command = packages.filling(folder="FOLDER")
        return f"airflow_bundle is not a bundle on this machine: make it with {command}"
    found = [packages.lacks_debs(each) for each in distributions.fitting(packages.release)]
    return min((sentence or "" for sentence in found), key=len) or None


def _without_airflow(packages: Packages) -> str | None:
    release = packages.release
    return packages.lacks({release.package: release.version})


def _no_url(packages: Packages) -> str | None:
    return urls.refusal("airflow_wheelhouse", packages.secret("airflow_wheelhouse"))


CHECKS = (_unshipped, _unknown_extras, _unfit_lock, _unfit_bundle, _no_url, _without_airflow)
