"""Make the lock of an Airflow release for one Python: files/constraints/airflow-VERSION-pyX.Y.txt.

    scripts/lock 3.3.2 3.13 --until 2026-09-18

uv resolves the release with all its extras together, from what the package index held at the end
of that day, and then each extra within the outcome, which tells whose pins are whose. An extra
that does not go together with the others is left out, and the head of the lock names it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path

from tooling import ROOT
from tooling.terminal import ToolError, ended, parser, say

UV = ROOT / ".venv/bin/uv"
PACKAGE = "apache-airflow"

# What the stack can't do without: a lock that lacks one of these is of no use.
CORE = ("celery", "fab", "postgres", "standard")

# Extras that are no feature of an installation.
UNWANTED = re.compile(r"(all|devel|docs?)(-.*)?")

# Release -> extra that only later releases have -> what it stands for.
ADDED = {"2.11.2": {"standard": "apache-airflow-providers-standard"}}

# Release -> pin that the date alone would get wrong, younger ones too -> why.
MOVED = {
    "2.11.2": {
        "apache-airflow-providers-celery==3.17.2": "with 3.16.0 to 3.17.1 every task fails",
        "apache-airflow-providers-common-compat==1.14.3": "needed by that celery provider",
    }
}

# The oldest C library that a lock is for is Ubuntu 22.04's.
PLATFORMS = ("x86_64-manylinux_2_35", "aarch64-manylinux_2_35")

Pins = dict[str, str]


@dataclass(frozen=True)
class Resolver:
    """Asks uv which versions of what a release needs go together."""

    version: str
    python: str
    until: str
    constraints: Pins
    """Versions to hold, whatever extras that costs."""
    preferences: Pins
    """Versions to keep where they fit."""
    folder: Path

    def extras(self) -> list[str]:
        """List the extras that the release has, without mere bundles and other names of extras."""
        target = self.folder / "metadata"
        where = ["--target", target, "--python", sys.executable, "--python-version", self.python]
        _uv("install", "--no-deps", *where, f"{PACKAGE}=={self.version}")
        metadata = message_from_string(next(target.glob("*.dist-info/METADATA")).read_text())
        needs = metadata.get_all("Requires-Dist", [])
        offered = metadata.get_all("Provides-Extra", [])
        wanted = [name for name in offered if not UNWANTED.fullmatch(name)]
        return sorted({*self._added, *(name for name in wanted if not _bundle(name, needs))})

    def resolve(self, extras: Iterable[str]) -> Pins | None:
        """Choose versions for ``extras`` that go together on all platforms, if there are any."""
        moved = split(MOVED.get(self.version, ()))
        held = self.constraints | moved
        try:
            pins = self._compile(extras, held, self.preferences, PLATFORMS[0])
            others = [self._compile(extras, held, pins, other) for other in PLATFORMS[1:]]
        except ToolError as error:
            if not re.search("No solution found|Failed to build", str(error)):
                raise
            say(str(error).splitlines()[0])
            return None
        return pins if all(other == pins for other in others) else None

    def part(self, extras: Iterable[str], pins: Pins) -> list[str]:
        """List those of ``pins`` that ``extras`` need."""
        return list(self._compile(extras, pins, pins, PLATFORMS[0], "--offline"))

    def _compile(
        self, extras: Iterable[str], held: Pins, start: Pins, platform: str, *options: str
    ) -> Pins:
        added = [self._added[extra] for extra in extras if extra in self._added]
        own = ",".join(extra for extra in extras if extra not in self._added)
        request = self._write("request.in", [f"{PACKAGE}[{own}]=={self.version}", *added])
        constraints = self._write("constraints.txt", lines(held))
        outcome = self._write("outcome.txt", lines(start))
        target = ["--python-version", self.python, "--python-platform", platform]
        files = [request, "--constraint", constraints, "--output-file", outcome]
        _uv("compile", *files, *target, *self._dates(), *options)
        return split(outcome.read_text().splitlines())

    @property
    def _added(self) -> dict[str, str]:
        return ADDED.get(self.version, {})

    def _dates(self) -> list[str]:
        moved = split(MOVED.get(self.version, ()))
        return [f"--exclude-newer={self.until}"] + [
            f"--exclude-newer-package={name}=2999-12-31" for name in moved
        ]

    def _write(self, name: str, content: Iterable[str]) -> Path:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in content))
        return path


def _uv(command: str, *arguments: object) -> None:
    call = [str(UV), "pip", command, "--quiet", *map(str, arguments)]
    # A date means a day of the machine's time zone.
    run = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "TZ": "UTC"})
    if run.returncode:
        raise ToolError(run.stderr.strip())


def _bundle(extra: str, needs: Iterable[str]) -> bool:
    """Tell whether ``extra`` is made of nothing but other extras of the package."""
    mine = [need for need in needs if re.search(rf"extra == ['\"]{extra}['\"]", need)]
    return bool(mine) and all(need.startswith(f"{PACKAGE}[") for need in mine)


def split(statements: Iterable[str]) -> Pins:
    """Read the pins of a lock, whichever extras need them."""
    bare = [re.split(r"[;#]", statement)[0].strip() for statement in statements]
    return dict(statement.split("==") for statement in bare if statement)


def lines(pins: Pins) -> list[str]:
    """Write pins as requirements."""
    return [f"{name}=={version}" for name, version in pins.items()]


def together(resolver: Resolver, extras: Iterable[str]) -> tuple[list[str], Pins]:
    """Find the extras that go together, and the versions for them."""
    kept, pins = _join(resolver, [], {}, list(CORE))
    if kept != list(CORE):
        raise ToolError(f"no versions go together even for {', '.join(CORE)}")
    return _join(resolver, kept, pins, [extra for extra in extras if extra not in CORE])


def _join(
    resolver: Resolver, kept: list[str], pins: Pins, more: list[str]
) -> tuple[list[str], Pins]:
    """Add ``more`` to the extras kept, less those that do not go together with them."""
    found = resolver.resolve([*kept, *more])
    if found is not None:
        return [*kept, *more], found
    say(f"{len(kept)} extras do not go together with {', '.join(more)}")
    if len(more) > 1:
        half = len(more) // 2
        kept, pins = _join(resolver, kept, pins, more[:half])
        kept, pins = _join(resolver, kept, pins, more[half:])
    return kept, pins


def marked(resolver: Resolver, extras: Iterable[str], pins: Pins) -> list[str]:
    """Write the pins, each with a marker that names the extras it is for."""
    always = set(resolver.part([], pins))
    owners: dict[str, list[str]] = {name: [] for name in sorted(pins)}
    for extra in sorted(extras):
        for name in resolver.part([extra], pins):
            owners[name].append(extra)
    if orphans := [name for name in owners if not owners[name]]:
        raise ToolError(f"no extra alone needs {', '.join(orphans)}")
    return [
        f"{name}=={pins[name]}" + ("" if name in always else _marker(owners[name]))
        for name in owners
    ]


def _marker(extras: Iterable[str]) -> str:
    return " ; " + " or ".join(f'extra == "{extra}"' for extra in extras)


def head(resolver: Resolver, left_out: Iterable[str]) -> list[str]:
    """Write the comment that says what the lock is and how it was made."""
    text = (
        f"Airflow {resolver.version} on Python {resolver.python}: what the package index held at"
        f" the end of {resolver.until}, all extras resolved together by scripts/lock."
        " A pin that only some extras need names them in its marker."
    )
    moved = [f"{pin} ({why})" for pin, why in MOVED.get(resolver.version, {}).items()]
    if moved:
        text += f" Moved by hand: {', '.join(moved)}."
    if left_out := sorted(left_out):
        text += f" Left out, as they do not go together with the others: {', '.join(left_out)}."
    wrap = textwrap.TextWrapper(
        98, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
    return wrap.wrap(text)


def make(resolver: Resolver, without: Iterable[str], path: Path) -> None:
    """Make the lock and write it to ``path``."""
    extras = resolver.extras()
    tried = [extra for extra in extras if extra not in without]
    say(f"resolving {len(tried)} extras together")
    kept, pins = together(resolver, tried)
    say(f"asking for each of {len(kept)} extras which of {len(pins)} pins it needs")
    body = marked(resolver, kept, pins)
    path.write_text("\n".join([*head(resolver, set(extras) - set(kept)), *body, ""]))
    say(f"{path.relative_to(ROOT)} holds {len(pins)} pins for {len(kept)} extras")


def _read(paths: Iterable[Path]) -> Pins:
    return split(line for path in paths for line in path.read_text().splitlines())


def _arguments() -> argparse.Namespace:
    asked = parser(__doc__)
    asked.add_argument("version", help="Airflow's, such as 3.3.2")
    asked.add_argument("python", help="such as 3.13")
    asked.add_argument("--until", required=True, help="the last day of the index to look at")
    asked.add_argument(
        "--without", action="append", default=[], metavar="EXTRA", help="leave it out untried"
    )
    for option, meaning in (
        ("--constraint", "hold the versions of this lock, whatever extras that costs"),
        ("--prefer", "keep those versions of this lock that fit"),
    ):
        asked.add_argument(
            option, type=Path, action="append", default=[], metavar="FILE", help=meaning
        )
    return asked.parse_args()


def main() -> None:
    """Make the lock that the command line asks for."""
    given = _arguments()
    if not UV.exists():
        raise ToolError("uv is missing: please get it with .venv/bin/pip install uv")
    path = ROOT / f"files/constraints/airflow-{given.version}-py{given.python}.txt"
    held, preferred = _read(given.constraint), _read(given.prefer)
    with tempfile.TemporaryDirectory() as folder:
        resolver = Resolver(given.version, given.python, given.until, held, preferred, Path(folder))
        make(resolver, given.without, path)


if __name__ == "__main__":
    sys.exit(ended(main))
