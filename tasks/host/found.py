"""Facts about paths: owners, modes, checksums and our mark."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from pyinfra.api import FactBase, QuoteString, StringCommand

from .blocks import BEGIN
from .look import REST_OF_INPUT, Wide


@dataclass(frozen=True)
class Found:
    """A file or a folder without its contents."""

    user: str
    group: str
    mode: str
    folder: bool = False
    sha256: str = ""
    """Empty for a folder."""
    ours: bool = field(default=False, compare=False)
    """Whether its text has the MARK or a block of ours."""


MARK = "Managed by pyinfra-airflow"
"""What each file of ours has in a comment, where it can have one."""


def marked(paths: Iterable[str]) -> StringCommand:
    """Return the command that lists those of ``paths`` that have the MARK or a block of ours.

    A swap file may be among them, which is no text.
    """
    return StringCommand(
        "find -L", *map(QuoteString, paths), "-maxdepth 0 -type f -size -4096k",
        f"-exec grep -l -e '{MARK}' -e '^{BEGIN}$' {{}} + 2>/dev/null",
    )  # fmt: skip


class Paths(Wide[dict[str, Found]]):
    """Owner, mode, checksum and mark of what is at ``paths``, without those where nothing is."""

    wide = "paths"
    default = dict

    @staticmethod
    def narrowed(
        answer: dict[str, Found], have: tuple[str, ...], wanted: tuple[str, ...]
    ) -> dict[str, Found]:
        return {path: answer[path] for path in wanted if path in answer}

    def command(self, paths: tuple[str, ...]) -> StringCommand:
        quoted = [QuoteString(path) for path in paths]
        return StringCommand(
            f"stat -L -c '{STAT}'", *quoted, "2>/dev/null; sha256sum", *quoted, "2>/dev/null;",
            marked(paths), "|| true",
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, Found]:
        return read_found(output)


class VariableDigests(FactBase[dict[str, str]]):
    """The variables of the environment file at ``path``: name -> salted digest of its text.

    The salt stands on standard input. A value of several lines belongs to the name before it.
    """

    default = dict

    def command(self, path: str) -> StringCommand:
        return StringCommand(
            "{", _DIGESTS, "} 2>/dev/null 3<&0 <", QuoteString(path), ";", REST_OF_INPUT
        )

    def process(self, output: list[str]) -> dict[str, str]:
        return {words[0]: words[1] for line in output if len(words := line.split()) > 1}


# As an environment file is written: no line in the middle of a value begins like another variable.
_DIGESTS = """
read -r salt <&3; name= text=
say() { test -z "$name" || echo "$name $(printf '%s\n' "$salt" "$text" | sha256sum)"; }
while IFS= read -r line || test -n "$line"; do
    new=; case $line in *'="'*) new=${line%%'="'*} ;; esac
    case $new in
        '' | [0-9]* | *[!A-Za-z0-9_]*) text="$text
$line" ;;
        *) say; name=$new text=$line ;;
    esac
done; say
"""
STAT = "%F|%U|%G|%a|%n"


def read_found(output: list[str]) -> dict[str, Found]:
    """Read what stat, sha256sum and ``marked`` say."""
    sums, ours = read_sums(output), set(output)
    rows = (line.split("|", 4) for line in output if line.count("|") >= 4)
    return {
        path: Found(user, group, mode, kind == "directory", sums.get(path, ""), path in ours)
        for kind, user, group, mode, path in rows
    }


def read_sums(output: list[str]) -> dict[str, str]:
    """Read what sha256sum says: path -> digest."""
    pairs = (line.partition("  ") for line in output if line[64:66] == "  ")
    return {path: digest for digest, _, path in pairs}


def digest(text: str) -> str:
    """Return the checksum of a text, as sha256sum prints it."""
    return hashlib.sha256(text.encode()).hexdigest()
