"""A bundle: wheels and .deb files for hosts that reach neither index nor mirror. Pure.

It is a folder of this machine that `scripts/bundle` fills: ``wheels``, and a folder of ``debs`` for
each distribution, in which apt's index ``Packages`` says what is there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

_ALONE = {
    "Dir::Etc::sourceparts": "-",
    "APT::Default-Release": "",
    "APT::Install-Recommends": "false",
    "Acquire::Languages": "none",
}
_HOOKS = ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")


@dataclass(frozen=True)
class Bundle:
    """Where the files for hosts without a way out are."""

    folder: Path

    @property
    def wheels(self) -> Path:
        """The folder of Python packages."""
        return self.folder / "wheels"

    def debs(self, distribution: str) -> Path:
        """Return the folder of the .deb files for ``distribution``, such as ``Debian 12``."""
        return self.folder / "debs" / distribution.lower().replace(" ", "-")

    def missing(self, distribution: str, packages: Collection[str]) -> list[str]:
        """List what of ``packages`` the index has not, and what it has of which no file is left.

        A package that begins with ^ is a pattern, as apt reads it.
        """
        folder = self.debs(distribution)
        index = folder / "Packages"
        fields = re.findall(r"^(Package|Filename): (.*)$", _text(index), re.MULTILINE)
        names = {value for field, value in fields if field == "Package"}
        files = [value for field, value in fields if field == "Filename"]
        lost = [file for file in files if not (folder / file).exists()]
        patterns = [package for package in packages if package.startswith("^")]
        matched = {each for each in patterns if any(re.search(each, name) for name in names)}
        return [*(each for each in packages if each not in names | matched), *lost]


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def apt_configuration(values: Mapping[str, str]) -> str:
    """Write a configuration of apt for sources of our own alone; nothing is called after updates.

    ``values`` say where they, apt's lists and its cache are, so that the machine's own stay as
    they are.
    """
    cleared = [f"#clear APT::Update::{hook};" for hook in _HOOKS]
    lines = [f'{key} "{value}";' for key, value in {**_ALONE, **values}.items()]
    return "\n".join([*cleared, *lines, ""])
