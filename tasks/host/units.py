"""systemd units, restarted when a file that they read is newer than their process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pyinfra import host, logger
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from ..settings.places import REPORT
from .files import REPLACED, started
from .found import MARK, digest, read_sums
from .look import Wide, look
from .steps import Commands, will_have_changed


@dataclass(frozen=True)
class Unit:
    """A systemd unit, and whether what it reads is newer than its process."""

    active: bool
    """It runs, or systemd is about to start it again after a crash."""
    enabled: bool
    newer: tuple[str, ...]
    """Files that changed after the unit started."""
    digests: Mapping[str, str]
    """Checksums of the files that the units read."""
    drop_ins: tuple[str, ...]
    """Files of an administrator that change it."""
    stale: bool
    """Whether its file has changed since systemd read it."""
    present: bool
    """Whether it has a file at all."""


NO_UNIT = Unit(
    active=False, enabled=False, newer=(), digests={}, drop_ins=(), stale=False, present=False
)


class Watched(NamedTuple):
    """What to look at for a unit."""

    unit: str
    started: str
    """A file that the start of the unit writes."""
    reads: tuple[str, ...]
    """Files after whose change the unit has to start anew."""


_SHOWN = "Id,ActiveState,UnitFileState,DropInPaths,NeedDaemonReload,FragmentPath"


class Units(Wide[dict[str, Unit]]):
    """State of systemd units, and which of the files that they read are newer than their start."""

    wide = "watched"
    default = dict

    @staticmethod
    def narrowed(
        answer: dict[str, Unit], have: tuple[Watched, ...], wanted: tuple[Watched, ...]
    ) -> dict[str, Unit]:
        return {each.unit: answer[each.unit] for each in wanted if each.unit in answer}

    def command(self, watched: tuple[Watched, ...]) -> StringCommand:
        files = sorted({path for each in watched for path in each.reads})
        newer = [bit for each in watched for bit in self._newer(each)]
        return StringCommand(
            f"systemctl show -p {_SHOWN}",
            *(QuoteString(each.unit) for each in watched),
            "2>/dev/null;",
            *newer,
            "sha256sum",
            *map(QuoteString, files),
            "2>/dev/null || true",
        )

    def _newer(self, watched: Watched) -> list[object]:
        return [
            "find", *map(QuoteString, watched.reads), "-maxdepth 0 -newer",
            QuoteString(watched.started), "-printf", QuoteString(f"{watched.unit}>%p\\n"),
            "2>/dev/null;",
        ]  # fmt: skip

    def process(self, output: list[str]) -> dict[str, Unit]:
        sums = read_sums(output)
        shown: list[dict[str, str]] = []
        newer = []
        for line in output:
            name, equals, value = line.partition("=")
            if name == "Id":
                shown.append({})
            if equals and shown:
                shown[-1][name] = value
            elif ">/" in line:
                newer.append(line.split(">", 1))
        return {
            unit["Id"]: Unit(
                active=unit["ActiveState"] in ("active", "activating"),
                enabled=unit["UnitFileState"] == "enabled",
                newer=tuple(path for name, path in newer if name == unit["Id"]),
                digests=sums,
                drop_ins=tuple(filter(_administrators, unit["DropInPaths"].split())),
                stale=unit["NeedDaemonReload"] == "yes",
                present=bool(unit["FragmentPath"]),
            )
            for unit in shown
        }


def _administrators(drop_in: str) -> bool:
    return drop_in.startswith("/etc/") and not drop_in.endswith(f"/{REPORT}")


@operation()
def running(
    watched: Watched,
    *,
    texts: Mapping[str, str],
    changed: Iterable[OperationMeta] = (),
    installed: OperationMeta | None = None,
    reload: str | None = None,
) -> Commands:
    """Run a unit, enabled, and restarted when a file that it reads is newer than its process.

    ``texts`` are what steps before this one write to the files that it reads: so a plan sees the
    restart that this brings. ``changed`` are further steps that it has to follow. File times also
    bring the restart that a broken run left undone. ``installed`` is the step that installs the
    unit, if that also enables and starts it, and if what it reads and ``changed`` come before.
    ``reload`` is a command that has a running one read its files anew, in the place of a restart.
    """
    unit = watched.unit
    if installed and not installed.is_complete() and installed.will_change:
        host.noop(f"{unit} is started by its package")
        return
    new = installed is not None and will_have_changed([installed])
    have = look(Units, watched=(watched,)).get(unit, NO_UNIT)
    if have.drop_ins:
        host.log(f"{unit} is also changed by {', '.join(have.drop_ins)}: left alone", logger.info)
    rewritten = [
        path
        for path in watched.reads
        if path in texts and have.digests.get(path) != digest(texts[path])
    ]
    commands = []
    if not have.enabled:
        commands.append(f"systemctl enable {unit}")
    stale = bool(have.newer or rewritten or (will_have_changed(changed) and not new))
    if stale and have.active and reload:
        commands.append(reload)
    elif stale or not have.active:
        commands.append(f"systemctl restart {unit}")
    if not commands:
        host.noop(f"{unit} is running, and nothing that it reads is newer")
        return
    yield "systemctl daemon-reload"
    yield from commands


def watched_by_files(units: Iterable[str], paths: Iterable[str]) -> tuple[Watched, ...]:
    """Return what tells whether units have the files that they should have."""
    return tuple(Watched(each, "/", tuple(paths)) for each in units)


@operation()
def timer(unit: str, texts: Mapping[str, str], units: Sequence[str]) -> Commands:
    """Run a timer, enabled, and started anew when its files have changed.

    ``units`` are those of its ``texts``.
    """
    found = look(Units, watched=watched_by_files(units, texts))
    have = found.get(unit, NO_UNIT)
    same = all(have.digests.get(path) == digest(text) for path, text in texts.items())
    stale = any(each.stale for each in found.values())
    if have.active and have.enabled and not stale and same:
        host.noop(f"{unit} runs")
        return
    yield "systemctl daemon-reload"
    yield f"systemctl enable -q {unit} && systemctl restart {unit}"


_KEEP_OTHERS = """for file in {files}; do
    test ! -f $file || grep -q '{mark}' $file || {{
        echo "kept the previous $file in {folder}"
        umask 077 && mkdir -p {folder}/etc/systemd/system && cp -T $file {folder}$file
    }} || exit
done"""


@operation()
def units_absent(units: Sequence[Watched]) -> Commands:
    """Stop units, with the patience that their tasks have, and remove them; keep others' files."""
    have = look(Units, watched=tuple(units))
    present = [each.unit for each in units if have.get(each.unit, NO_UNIT).present]
    if not present:
        host.noop("there is no service to remove")
        return
    files = " ".join(f"/etc/systemd/system/{unit}" for unit in present)
    yield _KEEP_OTHERS.format(mark=MARK, folder=f"{REPLACED}/{started()}", files=files)
    yield f"systemctl disable -q --now {' '.join(present)} && rm -f {files}"
    # One that ended badly would be listed for ever.
    yield f"systemctl daemon-reload; systemctl reset-failed {' '.join(present)} 2>/dev/null || true"
