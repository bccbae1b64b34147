"""Facts about a host as a whole, and settings fitted to its memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pyinfra import host
from pyinfra.api import FactBase

from ..settings import ENVIRONMENT, Settings, SettingsError, budget
from ..settings.budget import Machine
from ..settings.places import FIREWALL_RULES
from .found import MARK
from .look import look


@dataclass(frozen=True)
class HostNames:
    """What a host calls itself and others."""

    own: str
    resolves: bool
    hosts: tuple[str, ...]
    """Lines of /etc/hosts."""


@dataclass(frozen=True)
class System:
    """What a host is, before anything is done there."""

    distribution: str
    """Name and version, such as ``Debian 12``."""
    ahead: float
    """Seconds by which its clock is ahead of this machine's."""
    machine: Machine
    """What it has to offer."""
    swap_file: int
    """MiB of our swap file that are in use."""
    fstab: tuple[str, ...]
    """Lines of /etc/fstab."""
    release: str
    """The release of Airflow that ``current`` points to; empty before there is one."""
    firewall: bool
    """Whether our rules are there."""
    names: HostNames
    exporters: tuple[str, ...] = ()
    """Units of our exporters of metrics."""
    journal: str = ""
    """Checksum of the file with which we bound the journal; empty without it."""
    journal_ours: bool = False
    """Whether we have written it."""


JOURNAL = "/etc/systemd/journald.conf.d/airflow.conf"
SWAP_FILE = "/var/swap/airflow"

# A container sees those of all containers on its machine, each by the path it has in its own.
_SWAPS = f"{{ test -e {SWAP_FILE} && cat || grep -v '^{SWAP_FILE} '; }} </proc/swaps"

# A container's limits stand in its control group or above, by the names of either version; `max`
# and a number beyond any memory mean none.
_LIMITS = """
for top in /sys/fs/cgroup /sys/fs/cgroup/memory; do
    group=$(grep -E ':(memory)?:' /proc/1/cgroup | tail -n 1); group=$top/${group##*:}
    while case $group in $top*) true ;; *) false ;; esac; do
        for name in memory.max memory.limit_in_bytes; do
            echo "memory $(cat "$group/$name" 2>/dev/null)"; done
        echo "swap $(cat "$group/memory.swap.max" 2>/dev/null)"
        echo "both $(cat "$group/memory.memsw.limit_in_bytes" 2>/dev/null)"
        group=${group%/*}
    done
done
"""


class HostSystem(FactBase[System]):
    """Distribution, clock, memory, swap, release and names of a host."""

    @staticmethod
    def default() -> System:
        return System(
            "an unknown system", 0, Machine(0, 0, 0, 1), 0, (), "", False, HostNames("", False, ())
        )

    def command(self) -> str:
        return (
            'test -r /etc/os-release && . /etc/os-release; echo "$ID $VERSION_ID"; date +%s; nproc;'
            f" grep MemTotal: /proc/meminfo; {_SWAPS}; {_LIMITS}"
            f" echo current $(readlink {ENVIRONMENT}/current);"
            " ls /etc/systemd/system | grep '^airflow-.*-exporter.service$';"
            f" sha256sum {JOURNAL} 2>/dev/null;"
            f" echo marked $(grep -sl '{MARK}' {JOURNAL});"
            f" echo ruled $(ls {FIREWALL_RULES} 2>/dev/null);"
            " echo ---; cat /etc/fstab 2>/dev/null; echo ---; hostname;"
            ' getent hosts "$(hostname)" >/dev/null && echo yes || echo no;'
            " cat /etc/hosts 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> System:
        distribution, clock, cores, *rest = output
        end = rest.index("---")
        fstab = rest[end + 1 : rest.index("---", end + 1)]
        own_name, resolves, *hosts = rest[end + len(fstab) + 2 :]
        words = [line.split() for line in rest[:end]]
        swaps = {w[0]: int(w[2]) >> 10 for w in words if w[0].startswith("/")}
        own = swaps.pop(SWAP_FILE, 0)
        limits = _limits(words)
        machine = Machine(limits["memory"], sum(swaps.values()), limits["swap"], int(cores))
        return System(
            distribution=distribution.title(),
            ahead=float(clock) - time.time(),
            machine=machine,
            swap_file=own,
            fstab=tuple(fstab),
            release=next((release_of(w[1:]) for w in words if w[0] == "current"), ""),
            firewall=["ruled", FIREWALL_RULES] in words,
            names=HostNames(own_name, resolves == "yes", tuple(hosts)),
            journal=next((w[0] for w in words if w[1:] == [JOURNAL] and len(w[0]) == 64), ""),
            journal_ours=["marked", JOURNAL] in words,
            exporters=tuple(w[0] for w in words if w[0].endswith("-exporter.service")),
        )


def release_of(link: list[str]) -> str:
    """Read the release out of the name of an environment, behind which its digest stands."""
    return "".join(link).rpartition("/")[2].rpartition("-")[0]


def _limits(words: list[list[str]]) -> dict[str, int]:
    """Read what a host may use of memory and swap, in MiB."""
    found: dict[str, list[int]] = {"memory": [], "swap": [_NO_LIMIT], "both": [_NO_LIMIT]}
    for name, *value in words:
        if name == "MemTotal:":
            found["memory"].append(int(value[0]) >> 10)
        elif name in found and value and value[0].isdigit():
            found[name].append(int(value[0]) >> 20)
    memory = min(found["memory"])
    return {"memory": memory, "swap": min(*found["swap"], min(found["both"]) - memory)}


_NO_LIMIT = 1 << 40


def of_this_host(settings: Settings | None = None) -> Settings:
    """Complete settings as ``Settings.of`` does, and by the memory of the host.

    SettingsError has the sum where its components don't fit.
    """
    settings = Settings.of(host, settings)
    try:
        return budget.fitted(settings, look(HostSystem).machine)
    except SettingsError as error:
        raise SettingsError(f"host {host.name} {error}") from None
