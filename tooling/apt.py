"""apt for a bare host of any distribution, on this machine: it fetches .deb files into a folder."""

from __future__ import annotations

import email
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from tasks.catalog.bundle import apt_configuration
from tooling.terminal import ToolError, say

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pyinfra-airflow"
ETC = Path("/etc/apt")
CODENAMES = {
    "Debian 11": "bullseye", "Debian 12": "bookworm", "Debian 13": "trixie",
    "Ubuntu 22.04": "jammy", "Ubuntu 24.04": "noble", "Ubuntu 26.04": "resolute",
}  # fmt: skip
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What Python calls a machine -> what apt calls it."""
POCKETS = ("", "-updates", "-security")
"""What stands behind the codename in the names of an archive's suites."""


class Apt:
    """apt as a bare host of ``distribution`` would have it, in folders of the user's own."""

    def __init__(self, distribution: str, machine: str, sources: Path | None, debs: Path) -> None:
        self.distribution, self.given, self.debs = distribution, sources, debs
        architecture = ARCHITECTURES[machine]
        self.place = CACHE / "lists" / f"{debs.name}-{architecture}"
        for folder in (self.place / "lists/partial", self.place / "none/partial", debs / "partial"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.place / "status").touch()
        values = {
            "Dir::State": f"{self.place}/",
            "Dir::State::status": f"{self.place}/status",
            "Dir::Cache": f"{self.place}/",
            "Dir::Cache::archives": f"{debs}/",
            "Dir::Etc::sourcelist": "-",
            "Dir::Etc::sourceparts": f"{self.place}/sources/",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": f"{self.place}/none/",
            "APT::Architecture": architecture,
            "APT::Update::Error-Mode": "any",
        }
        only = f'#clear APT::Architectures;\nAPT::Architectures {{ "{architecture}"; }};\n'
        (self.place / "apt.conf").write_text(only + apt_configuration(values))

    def update(self) -> None:
        """Fetch the mirrors' lists; suites that they have no more are left out."""
        gone: set[str] = set()
        while True:
            self._write_sources(gone)
            done = self._run("apt-get", "update", "-q")
            found = set(re.findall(r"'\S+ (\S+) Release' does not have a Release", done.stderr))
            if not done.returncode:
                return
            if not found - gone or self.given:
                raise ToolError(f"apt can't read the mirrors' lists:\n{done.stderr.strip()}")
            say(f"left out, as no mirror has it: {', '.join(sorted(found - gone))}")
            gone |= found

    def files(self, packages: Sequence[str]) -> dict[str, int]:
        """List the files that a host needs on which nothing is, with their sizes."""
        nothing = f"Dir::Cache::archives={self.place}/none/"
        words = ("install", "-qq", "--print-uris", "-o", nothing, *packages)
        done = self._run("apt-get", *words)
        if done.returncode:
            raise ToolError(f"{self.distribution} lacks packages:\n{done.stderr.strip()}")
        return {
            name: int(size) for name, size in re.findall(r"^'\S+' (\S+) (\d+)", done.stdout, re.M)
        }

    def fetch(self, packages: Sequence[str]) -> None:
        """Fetch the files that are missing."""
        command = self._command("apt-get", "install", "-q", "-y", "--download-only", *packages)
        if subprocess.run(command, stdout=sys.stderr, stdin=subprocess.DEVNULL).returncode:
            raise ToolError("apt can't fetch the packages")

    def index(self, files: Collection[str]) -> str:
        """Write the index of the files, with what the archive says of each."""
        exact = ["=".join(unquote(file).split("_")[:2]) for file in sorted(files)]
        output = self._run("apt-cache", "show", *exact).stdout
        found = {}
        for stanza in output.strip().split("\n\n"):
            of = dict(re.findall(r"^(Package|Version|Architecture): (.*)$", stanza, re.M))
            version = of["Version"].replace(":", "%3a")
            file = f"{of['Package']}_{version}_{of['Architecture']}.deb"
            found[file] = re.sub(r"(?m)^Filename: .*$", f"Filename: {file}", stanza)
        if found.keys() != set(files):
            raise ToolError(f"apt says nothing of {', '.join(set(files) ^ found.keys())}")
        return "".join(f"{stanza}\n\n" for stanza in found.values())

    def _write_sources(self, gone: Collection[str]) -> None:
        texts = {f"given{self.given.suffix}": self.given.read_text()} if self.given else {}
        texts = texts or own_sources(self.distribution, gone)
        if not texts:
            raise ToolError(
                f"this machine's apt knows no mirror of {self.distribution}: name a file of apt's"
                " sources, .list or .sources, with --sources"
            )
        folder = self.place / "sources"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, text in texts.items():
            (folder / name).write_text(text)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"LC_ALL": "C"}
        command = self._command(*words)
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    def _command(self, program: str, *words: str) -> list[str]:
        return [program, "-c", str(self.place / "apt.conf"), *words]


def own_sources(distribution: str, gone: Collection[str]) -> dict[str, str]:
    """Return this machine's sources of its distribution's archive, for another version of that.

    They are the texts of files, by name. ``gone`` are suites that are left out.
    """
    system = platform.freedesktop_os_release()
    if system["ID"].title() != distribution.split()[0]:
        return {}
    own, theirs = system.get("VERSION_CODENAME", ""), CODENAMES[distribution]
    suites = {
        f"{own}{each}": f"{theirs}{each}" for each in POCKETS if f"{theirs}{each}" not in gone
    }
    lists = [ETC / "sources.list", *sorted((ETC / "sources.list.d").glob("*.list"))]
    files = sorted((ETC / "sources.list.d").glob("*.sources"))
    texts = {
        "own.list": "".join(line for path in lists for line in lines(_text(path), suites)),
        "own.sources": "\n".join(each for path in files for each in stanzas(_text(path), suites)),
    }
    return {name: text for name, text in texts.items() if text}


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def lines(text: str, suites: Mapping[str, str]) -> Iterator[str]:
    """Translate the suites in a file of lines."""
    line = r"^deb\s+(\[.*?\]\s+)?((?!cdrom:)\S+)\s+(\S+)\s+(.*\bmain\b.*)"
    for options, uri, suite, components in re.findall(line, text, re.M):
        if suite in suites:
            yield f"deb {options}{uri} {suites[suite]} {components}\n"


def stanzas(text: str, suites: Mapping[str, str]) -> Iterator[str]:
    """Translate the suites in a file of stanzas."""
    for stanza in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n", "", text)):
        fields = dict(email.message_from_string(stanza.strip("\n")).items())
        chosen = [suites[suite] for suite in fields.get("Suites", "").split() if suite in suites]
        main = "main" in fields.get("Components", "").split()
        if chosen and main and fields.get("Enabled", "yes") != "no":
            fields |= {"Types": "deb", "Suites": " ".join(chosen)}
            yield "".join(f"{name}: {value}\n" for name, value in fields.items())


def fill_debs(apt: Apt, wanted: Collection[str]) -> None:
    """Fetch what is missing of the packages that are wanted, now or by an earlier call."""
    asked = apt.debs / "asked"
    packages = sorted({*wanted, *_text(asked).split()})
    apt.update()
    files = apt.files(packages)
    missing = [name for name, size in files.items() if _size(apt.debs / name) != size]
    size = sum(map(files.__getitem__, missing)) >> 20
    say(f"{apt.distribution}: {len(missing)} of {len(files)} .deb files to fetch, {size} MiB")
    if missing:
        apt.fetch(packages)
    index = apt.index(files)
    for path in apt.debs.glob("*.deb"):
        if path.name not in files:
            path.unlink()
    shutil.rmtree(apt.debs / "partial")
    (apt.debs / "lock").unlink(missing_ok=True)
    asked.write_text("".join(f"{name}\n" for name in packages))
    (apt.debs / "Packages").write_text(index)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
