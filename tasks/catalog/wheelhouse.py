"""A wheelhouse: packages that are not fetched from a package index. Pure.

It is a folder of this machine, whose files are carried to a host while it installs them, or the
address of a page of links that the host itself can reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

_BUILD_TOOLS = ("setuptools", "wheel")
"""What a source is built with, though it stands in no lock."""


@dataclass(frozen=True)
class Wheelhouse:
    """Where the packages are: a folder here, or the address of a page."""

    place: str

    @property
    def folder(self) -> Path | None:
        """The folder of this machine, if it is one."""
        return None if "://" in self.place else Path(self.place)

    def variables(self, carried: str) -> dict[str, str]:
        """Return the variables with which pip and uv look there alone.

        ``carried`` is where a host has the files of a folder of this machine.
        """
        links = carried if self.folder else self.place
        return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": links, "UV_FIND_LINKS": links}

    def missing(self, pins: Mapping[str, str]) -> list[str]:
        """List the pins that the folder has no file of; of a page that can't be known."""
        if self.folder is None:
            return []
        have = {project for _, project in self._files()}
        return [
            f"{n} {v}" for n, v in pins.items() if (canonicalize_name(n), Version(v)) not in have
        ]

    def files(self, pins: Mapping[str, str]) -> list[Path]:
        """List the folder's files of ``pins``, and what sources among them are built with."""
        wanted = {(canonicalize_name(name), Version(version)) for name, version in pins.items()}
        chosen = [path for path, project in self._files() if project in wanted]
        if all(path.suffix == ".whl" for path in chosen):
            return chosen
        tools = [path for path, (name, _) in self._files() if name in _BUILD_TOOLS]
        return list(dict.fromkeys((*chosen, *tools)))

    def everything(self) -> list[Path]:
        """List all packages of the folder."""
        return [path for path, _ in self._files()]

    def _files(self) -> Iterator[tuple[Path, tuple[NormalizedName, Version]]]:
        for path in sorted(self.folder.iterdir()) if self.folder else ():
            try:
                if path.suffix == ".whl":
                    name, version, *_ = parse_wheel_filename(path.name)
                else:
                    name, version = parse_sdist_filename(path.name)
            except (InvalidWheelFilename, InvalidSdistFilename):
                continue
            yield path, (name, version)
