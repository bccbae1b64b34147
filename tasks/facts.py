"""Facts that pyinfra lacks. None of them fails: what can't be known is an empty answer.

Each command is a round trip, so a fact answers for many files, units or parts at once.
"""

from __future__ import annotations

import base64
import json
import re
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import unquote

from pyinfra.api import FactBase, QuoteString, StringCommand

from . import locks
from .budget import Machine
from .look import Beyond, Wide, in_places
from .settings import CONFIGURATION, ENVIRONMENT

AS_AIRFLOW = f"{ENVIRONMENT}/bin/as-airflow"
REPORT = "airflow-report.conf"
"""Our drop-in for units of others."""


def helper(script: str) -> str:
    """Return the command to run a file of ``files/host`` with Airflow's Python and environment."""
    return f"{AS_AIRFLOW} python {ENVIRONMENT}/lib/{script}"


_REST_OF_INPUT = "cat >/dev/null"
"""Ends a command that may leave its input unread: pyinfra fails when it can't send all of it."""


def shell(*bits: object) -> StringCommand:
    """Join bits of a command without spaces between them."""
    return StringCommand(*bits, _separator="")


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
BEGIN, END = "# BEGIN pyinfra-airflow", "# END pyinfra-airflow"
"""Around our lines in a file of somebody's."""


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
            f"stat -L -c '{_STAT}'", *quoted, "2>/dev/null; sha256sum", *quoted, "2>/dev/null;",
            marked(paths), "|| true",
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, Found]:
        return _found(output)


class VariableDigests(FactBase[dict[str, str]]):
    """The variables of the environment file at ``path``: name -> salted digest of its text.

    The salt stands on standard input. A value of several lines belongs to the name before it.
    """

    default = dict

    def command(self, path: str) -> StringCommand:
        return StringCommand(
            "{", _DIGESTS, "} 2>/dev/null 3<&0 <", QuoteString(path), ";", _REST_OF_INPUT
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


class WelcomePage(FactBase[bool]):
    """Whether nginx shows the page that Debian's package came with, as nobody has changed it."""

    default = bool

    def command(self) -> str:
        return f"{WELCOME_PAGE} && echo yes || true"

    def process(self, output: list[str]) -> bool:
        return output == ["yes"]


WELCOME = "/etc/nginx/sites-enabled/default"
WELCOME_PAGE = (
    f"test -L {WELCOME} && dpkg-query -W -f '${{Conffiles}}' nginx-common 2>/dev/null"
    f' | grep -qF "$(md5sum <{WELCOME} | cut -c-32)"'
)
"""The command that finds it."""
_STAT = "%F|%U|%G|%a|%n"


def _found(output: list[str]) -> dict[str, Found]:
    """Read what stat, sha256sum and ``marked`` say."""
    sums, ours = _sums(output), set(output)
    rows = (line.split("|", 4) for line in output if line.count("|") >= 4)
    return {
        path: Found(user, group, mode, kind == "directory", sums.get(path, ""), path in ours)
        for kind, user, group, mode, path in rows
    }


def _sums(output: list[str]) -> dict[str, str]:
    """Read what sha256sum says: path -> digest."""
    pairs = (line.partition("  ") for line in output if line[64:66] == "  ")
    return {path: digest for digest, _, path in pairs}


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


@dataclass(frozen=True)
class Installed:
    """A Python environment on the host."""

    complete: bool
    distributions: dict[str, str]
    frozen: dict[str, str]
    """What constraints made of it, where it was made by constraints."""


@dataclass(frozen=True)
class Environments:
    """The Python environments of a host."""

    installed: Mapping[str, Installed]
    """Path -> what is there, without those that are not there."""
    linked: str
    """Where the link points to; empty where there is none."""


class PythonEnvironments(Wide[Environments]):
    """The distributions in the environments at ``paths``, and which of them ``link`` points to.

    They are read from file names alone.
    """

    wide = "paths"

    @staticmethod
    def default() -> Environments:
        return Environments({}, "")

    def command(self, paths: tuple[str, ...], link: str) -> StringCommand:
        return StringCommand(
            "readlink", QuoteString(link), "|| echo; for path in", *map(QuoteString, paths), ";",
            'do cd "$path" 2>/dev/null && { echo "in $path"; ls -d .complete bin/python',
            "lib/python*/site-packages/*.dist-info lib/python*/site-packages/*.egg-info;",
            "cat .frozen; } 2>/dev/null; done; true",
        )  # fmt: skip

    def process(self, output: list[str]) -> Environments:
        linked, *lines = output
        sections: dict[str, list[str]] = {}
        for line in lines:
            if line.startswith("in "):
                section = sections.setdefault(line.removeprefix("in "), [])
            else:
                section.append(line)
        return Environments({path: _installed(lines) for path, lines in sections.items()}, linked)


def _installed(lines: list[str]) -> Installed:
    entries = [line for line in lines if line.endswith("-info")]
    frozen = locks.parse("\n".join(line for line in lines if "==" in line), ())
    complete = {".complete", "bin/python"}.issubset(lines)
    return Installed(complete, locks.installed(entries), frozen)


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
        sums = _sums(output)
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


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL cluster of Debian's, with its files below ``folder``."""

    version: str
    rules: tuple[str, ...]
    """Lines of its pg_hba.conf."""
    rules_changed: float
    """Seconds since 1970."""
    files: Mapping[str, Found]

    @property
    def folder(self) -> str:
        return f"/etc/postgresql/{self.version}/main"


class MainCluster(FactBase[Cluster | None]):
    """The newest PostgreSQL cluster ``main``, with ``files`` of its folder; None without any."""

    @staticmethod
    def default() -> Cluster | None:
        return None

    def command(self, files: tuple[str, ...]) -> StringCommand:
        quoted = [QuoteString(path) for path in files]
        return StringCommand(
            "cd /etc/postgresql 2>/dev/null || exit 0;",
            "main=$(ls */main/postgresql.conf 2>/dev/null | sort -V | tail -n 1);",
            'cd "$(dirname "${main:-none/none}")" 2>/dev/null || exit 0; echo "${main%%/*}";',
            "stat -L -c %.Y pg_hba.conf 2>/dev/null || echo 0;",
            f"stat -L -c '{_STAT}'", *quoted, "2>/dev/null; sha256sum", *quoted, "2>/dev/null;",
            marked(files), "; echo ---; cat pg_hba.conf 2>/dev/null || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> Cluster | None:
        version, changed, *rest = output
        end = rest.index("---")
        return Cluster(version, tuple(rest[end + 1 :]), float(changed), _found(rest[:end]))


PSQL = "cd / && runuser -u postgres -- psql -XqAt -v ON_ERROR_STOP=1 -d postgres"
"""Debian's psql takes the newest cluster's port by itself."""

_CONTENTS = """
SELECT json_build_object(
    'loaded', extract(epoch FROM pg_conf_load_time()),
    'roles', (SELECT coalesce(json_object_agg(rolname, r), '{{}}') FROM (
        SELECT rolname, {rights},
            pg_has_role(oid, 'pg_monitor', 'MEMBER') AS monitor,
            split_part(rolpassword, '$', 2) AS salt,
            encode(sha256(rolpassword::bytea), 'hex') AS digest
        FROM pg_authid WHERE rolname IN ({roles})) r),
    'databases', (SELECT json_object_agg(datname, json_build_object(
        'owner', pg_get_userbyid(datdba), 'encoding', pg_encoding_to_char(encoding)))
        FROM pg_database))
"""

RIGHTS = {
    "rolcanlogin": "LOGIN",
    "rolsuper": "SUPERUSER",
    "rolcreatedb": "CREATEDB",
    "rolcreaterole": "CREATEROLE",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}
"""What a role may do: column of pg_authid -> the word of ALTER ROLE."""


@dataclass(frozen=True)
class Contents:
    """What the server has; without PostgreSQL nothing."""

    loaded: float = 0
    """When it read its access rules, in seconds since 1970."""
    roles: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> rights, salt and digest of the password."""
    databases: Mapping[str, dict[str, str]] = field(default_factory=dict)
    """Name -> owner and encoding."""


class PostgresqlContents(Wide[Contents | None]):
    """What the newest cluster ``main`` has, of its roles those asked for; None when it is down."""

    wide = "roles"

    @staticmethod
    def default() -> Contents | None:
        return Contents()

    def command(self, roles: tuple[str, ...]) -> StringCommand:
        query = _CONTENTS.format(
            rights=", ".join(RIGHTS), roles=", ".join(f"'{role}'" for role in roles or ("",))
        )
        return StringCommand(
            "if test -d /etc/postgresql; then", PSQL, "-c", QuoteString(query),
            "2>/dev/null || echo null; fi",
        )  # fmt: skip

    def process(self, output: list[str]) -> Contents | None:
        answer = json.loads("\n".join(output))
        return answer and Contents(**answer)


class RabbitmqDefinitions(FactBase[dict[str, Any] | None]):
    """Users, virtual hosts and permissions of the broker; None when that does not answer.

    Without RabbitMQ there are none. One that is just starting has a minute for that.
    """

    default = dict

    def command(self) -> str:
        return (
            "if command -v rabbitmqctl >/dev/null; then"
            " for second in $(seq 60); do"
            ' test "$(systemctl is-active rabbitmq-server)" = activating || break; sleep 1; done;'
            " rabbitmqctl -q export_definitions -"
            " --format json 2>/dev/null </dev/null || echo null; else echo '{}'; fi"
        )

    def process(self, output: list[str]) -> dict[str, Any] | None:
        definitions: dict[str, Any] | None = json.loads("\n".join(output))
        return definitions


class Queue(NamedTuple):
    """What a queue of the broker holds, and how many take from it."""

    messages: int
    consumers: int


class RabbitmqQueues(FactBase[dict[str, Queue] | None]):
    """Queues of ``vhost`` by their names; None when the broker does not answer."""

    @staticmethod
    def default() -> dict[str, Queue] | None:
        return None

    def command(self, vhost: str) -> StringCommand:
        return StringCommand(
            "rabbitmqctl -q list_queues -p", QuoteString(vhost),
            "name messages consumers --formatter json 2>/dev/null </dev/null || echo null",
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, Queue] | None:
        queues = json.loads("\n".join(output))
        if queues is None:
            return None
        return {each["name"]: Queue(each["messages"], each["consumers"]) for each in queues}


@dataclass(frozen=True)
class BrokerFiles:
    """What RabbitMQ finds when it starts."""

    plugins: tuple[str, ...] = ()
    """Plugins that are enabled."""
    metrics: bool = False
    """Whether its configuration, which is ours, has an address for metrics."""


class RabbitmqFiles(FactBase[BrokerFiles]):
    """What RabbitMQ finds when it starts, or would find."""

    default = BrokerFiles

    def command(self) -> str:
        return (
            "cd /etc/rabbitmq 2>/dev/null && { cat enabled_plugins;"
            " grep -m 1 '^prometheus.tcp' rabbitmq.conf; } 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> BrokerFiles:
        lists = [line for line in output if not line.startswith(("%", "prometheus"))]
        return BrokerFiles(
            plugins=tuple(re.findall(r"\w+", "".join(lists))),
            metrics=any(line.startswith("prometheus") for line in output),
        )


class Scrape(NamedTuple):
    """Metrics to look at."""

    address: str
    port: int
    sign: str
    """How one of their lines begins once all is well."""
    takes: int = 0
    """The UDP port that has to be open too, if any."""


# By bash: a bare host has neither curl nor Python.
_SCRAPE = """
end=$(($(date +%s) + $0))
while true; do
    said=$(timeout 5 bash -c 'exec 3<>/dev/tcp/$0/$1
        printf "GET /metrics HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3' "$1" "$2" 2>/dev/null)
    word=${said:+unknown}
    if grep -q "^$3" <<<"$said" && { test "$4" = 0 || ss -Hlun "sport = :$4" | grep -q .; }; then
        word=yes
    fi
    test "$word" = yes || test "$(date +%s)" -ge "$end" && break
    sleep 1
done
echo "${word:-no}"
"""


def scraping(scrape: Scrape, within: int) -> StringCommand:
    """Return the command that looks at metrics for so many seconds, and prints a word.

    It is yes, no when nothing answers, and unknown when the sign is not there.
    """
    return StringCommand(
        "bash -c", QuoteString(_SCRAPE), str(within),
        *(QuoteString(str(each)) for each in scrape),
    )  # fmt: skip


class Scrapes(Beyond, Wide[list[str]]):
    """Whether metrics are there: a word for each of ``scrapes``, within so many seconds."""

    wide = "scrapes"
    default = list

    @staticmethod
    def narrowed(
        answer: list[str], have: tuple[Scrape, ...], wanted: tuple[Scrape, ...]
    ) -> list[str]:
        return in_places(answer, have, wanted)

    def command(self, scrapes: tuple[Scrape, ...], within: int = 0) -> StringCommand:
        bits = [bit for each in scrapes for bit in (scraping(each, within), ";")]
        return StringCommand(*bits, "true")

    def process(self, output: list[str]) -> list[str]:
        return output


FIREWALL_RULES = "/etc/airflow-firewall.nft"
PROXY_SITE = "/etc/nginx/conf.d/airflow.conf"


class FirewallTable(FactBase[str]):
    """Our table of nftables: loaded, changed since it was, or empty where there is none."""

    default = str

    def command(self) -> str:
        listing = "nft -n list table inet pyinfra_airflow 2>/dev/null"
        return (
            f"if {listing} >/dev/null; then {listing} | sha256sum"
            " | cmp -s - /run/airflow-firewall/loaded && echo loaded || echo changed; fi"
        )

    def process(self, output: list[str]) -> str:
        return "".join(output)


# The session's variables are those of a process above, since sudo hands none of them on.
_SSH_CONNECTION = """
pid=$$
while test "${pid:-0}" -gt 1; do
    tr '\\0' '\\n' <"/proc/$pid/environ" | sed -n 's/^SSH_CONNECTION=/connection /p'
    pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status")
done 2>/dev/null
sshd -T 2>/dev/null | grep ^listenaddress || true
"""


class SshPorts(FactBase[tuple[int, ...]]):
    """The ports of SSH: the one that this connection came in by, and those of sshd."""

    @staticmethod
    def default() -> tuple[int, ...]:
        return (22,)

    def command(self) -> str:
        return _SSH_CONNECTION

    def process(self, output: list[str]) -> tuple[int, ...]:
        ports = (re.split(r"[ :]", line)[-1] for line in output)
        return tuple(sorted({int(port) for port in ports if port.isdigit()})) or self.default()


class ProxyStatus(Beyond, FactBase[str]):
    """What ``url`` of this host's proxy answers: 200 within so many seconds, or the last status."""

    default = str

    def command(self, url: str, within: int = 0) -> StringCommand:
        return StringCommand(
            f"end=$(($(date +%s) + {within})); while :; do",
            "status=$(curl -sk -m 30 -o /dev/null -w '%{http_code}'", QuoteString(url), ");",
            'test "$status" = 200 && break; test $(date +%s) -lt $end || break; sleep 1; done;',
            'echo "$status"',
        )  # fmt: skip

    def process(self, output: list[str]) -> str:
        return "".join(output)


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
            release=next((_release(w[1:]) for w in words if w[0] == "current"), ""),
            firewall=["ruled", FIREWALL_RULES] in words,
            names=HostNames(own_name, resolves == "yes", tuple(hosts)),
            journal=next((w[0] for w in words if w[1:] == [JOURNAL] and len(w[0]) == 64), ""),
            journal_ours=["marked", JOURNAL] in words,
            exporters=tuple(w[0] for w in words if w[0].endswith("-exporter.service")),
        )


def _release(link: list[str]) -> str:
    """Read the release out of the name of an environment, behind which its digest stands."""
    return "".join(link).rpartition("/")[2].rpartition("-")[0]


class PreviousRelease(FactBase[str]):
    """The release that an upgrade has left, and that can be gone back to; empty without any."""

    default = str

    def command(self) -> str:
        return f"cat {ENVIRONMENT}/previous/link 2>/dev/null || true"

    def process(self, output: list[str]) -> str:
        return _release(output)


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


@dataclass(frozen=True)
class Account:
    """A user of the host."""

    home: str
    shell: str


class UserAccount(FactBase[Account | None]):
    """The account of ``user``; None when there is none."""

    @staticmethod
    def default() -> Account | None:
        return None

    def command(self, user: str) -> StringCommand:
        return StringCommand("getent passwd", QuoteString(user), "|| true")

    def process(self, output: list[str]) -> Account | None:
        *_, home, shell = output[0].split(":")
        return Account(home, shell)


Question = tuple[str, ...]
"""A check of ``airflow_probe.py`` and what it needs to know."""


class ProbeAnswers(Beyond, Wide[list[str]]):
    """The words that ``airflow_probe.py`` says, each question's within so many seconds.

    There are none before Airflow is installed, and a single one where it can't run.
    """

    wide = "questions"
    default = list

    @staticmethod
    def narrowed(
        answer: list[str], have: tuple[Question, ...], wanted: tuple[Question, ...]
    ) -> list[str]:
        return in_places(answer, have, wanted)

    def command(self, questions: tuple[Question, ...], within: int = 0) -> StringCommand:
        quoted = [QuoteString(json.dumps(question)) for question in questions]
        return StringCommand(
            f"if ls {CONFIGURATION}/*.env >/dev/null 2>&1; then answer=$(",
            helper("airflow_probe.py"), str(within),
            *quoted, """2>/dev/null); printf '%s\\n' "${answer:-unknown}"; fi;""", _REST_OF_INPUT,
        )  # fmt: skip

    def process(self, output: list[str]) -> list[str]:
        return output


class ForeignServers(Beyond, FactBase[dict[str, dict[str, str]] | None]):
    """Server -> what is missing there -> why, as ``airflow_servers.py`` says; its input is secret.

    None before Airflow is installed, and where it can't run.
    """

    @staticmethod
    def default() -> dict[str, dict[str, str]] | None:
        return None

    def command(self) -> str:
        script = helper("airflow_servers.py")
        there = f"ls {CONFIGURATION}/*.env >/dev/null 2>&1"
        asked = f"if {there}; then {script} look 2>/dev/null || echo null; else echo null; fi"
        return f"{asked}; {_REST_OF_INPUT}"

    def process(self, output: list[str]) -> dict[str, dict[str, str]] | None:
        missing: dict[str, dict[str, str]] | None = json.loads(output[-1])
        return missing


Difference = dict[str, list[str]]
"""``added``, ``changed`` and ``removed`` -> names."""


class ObjectDifferences(Beyond, FactBase[dict[str, Difference] | None]):
    """What ``airflow_objects.py`` would change of each of ``kinds``; None when it can't be asked.

    What is declared goes on standard input. Before Airflow is installed there is no answer.
    """

    default = dict

    def command(self, kinds: tuple[str, ...]) -> StringCommand:
        return StringCommand(
            f"if ls {CONFIGURATION}/*.env >/dev/null 2>&1; then",
            helper("airflow_objects.py"), "compare", *kinds, "2>/dev/null || echo null; fi;",
            _REST_OF_INPUT,
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, Difference] | None:
        answer: dict[str, Difference] | None = json.loads(output[-1])
        return answer


@dataclass(frozen=True)
class Delivered:
    """A folder on a host that files are delivered to."""

    files: Mapping[str, Found]
    """By their paths in the folder, Python's own left out."""
    before: tuple[str, ...]
    """What was delivered before, as ``path``.delivered has it."""


class DeliveredFolder(FactBase[Delivered]):
    """Every file below ``path``, and what of it was delivered before."""

    @staticmethod
    def default() -> Delivered:
        return Delivered({}, ())

    def command(self, path: str) -> StringCommand:
        return StringCommand(
            "cat", QuoteString(f"{path}.delivered"), "2>/dev/null; echo ---; cd", QuoteString(path),
            f"2>/dev/null && find . -type f ! -name '*.pyc' -exec stat -c '{_STAT}' {{}} +",
            "-exec sha256sum {} + || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> Delivered:
        end = output.index("---")
        found = _found(output[end + 1 :])
        files = {name.removeprefix("./"): file for name, file in found.items()}
        return Delivered(files, tuple(output[:end]))


class FolderFiles(FactBase[dict[str, bytes]]):
    """The contents of files below ``path``, whose names stand on standard input."""

    default = dict

    def command(self, path: str) -> StringCommand:
        return StringCommand(
            "cd", QuoteString(path), "2>/dev/null && tar --verbatim-files-from -T - -czf -",
            "2>/dev/null | base64 || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, bytes]:
        found = {}
        with tarfile.open(fileobj=BytesIO(base64.b64decode("".join(output)))) as archive:
            for member in archive:
                file = archive.extractfile(member)
                found[member.name] = file.read() if file else b""
        return found


class DagImports(Beyond, FactBase[dict[str, str] | None]):
    """The DAG files below ``folder`` that Airflow can't import: path -> traceback.

    They see the plugins of a folder other than Airflow's where one is given. None where Airflow
    can't be asked.
    """

    @staticmethod
    def default() -> dict[str, str] | None:
        return None

    def command(self, folder: str, plugins: str = "") -> StringCommand:
        folders = (QuoteString(each) for each in (folder, plugins) if each)
        script = helper("airflow_imports.py")
        return StringCommand("timeout 3600", script, *folders, "2>/dev/null || true")

    def process(self, output: list[str]) -> dict[str, str] | None:
        errors: dict[str, str] = json.loads(output[-1])
        return errors


@dataclass(frozen=True)
class Checkout:
    """What a host has of the DAGs' repository."""

    link: str = ""
    """Where the link below the DAGs points to; empty where there is none."""
    commit: str = ""
    """The commit that is used."""
    whole: bool = False
    """Whether its files are as they were."""
    remote: str = ""
    """The commit that the revision has at the remote; empty where that can't be known."""


class DagsRepository(Beyond, FactBase[Checkout]):
    """What ``script`` says of the repository at ``url``, and where ``link`` points to."""

    default = Checkout

    def command(self, script: str, url: str, revision: str, link: str) -> StringCommand:
        return StringCommand(
            "readlink", QuoteString(link), "|| echo; timeout 120", script, "state",
            QuoteString(url), QuoteString(revision), "2>/dev/null || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> Checkout:
        link, commit, state, remote, *_ = [*output, "", "", "", ""]
        return Checkout(link, commit, state == "same", remote)


@dataclass(frozen=True)
class Reach:
    """What a host sees of the others, and what it lets them see."""

    resolved: Mapping[str, str]
    """Name -> address, without those that do not resolve."""
    closed: tuple[str, ...]
    """Those of the wanted ``HOST PORT`` that don't answer."""
    listening: tuple[tuple[str, str, int], ...]
    """User, address and port of every TCP socket that other hosts could reach."""


class NetworkReach(Beyond, FactBase[Reach]):
    """Whether names resolve and ports answer, and what listens beyond loopback."""

    @staticmethod
    def default() -> Reach:
        return Reach({}, (), ())

    def command(self, names: tuple[str, ...], ports: tuple[str, ...]) -> StringCommand:
        return StringCommand(
            "for name in", *map(QuoteString, names), ';do echo "name $name $(getent ahosts "$name"'
            " | head -n 1)\"; done; for port in", *map(QuoteString, ports), ";do set -- $port;",
            'timeout 3 bash -c "</dev/tcp/$1/$2" 2>/dev/null || echo "closed $port"; done;',
            "ss -Hltne | while read -r _ _ _ local _ rest; do uid=${rest#*uid:};",
            'case $rest in *uid:*) uid=${uid%% *} ;; *) uid=0 ;; esac;',
            'echo "listen $(id -nu "$uid" 2>/dev/null || echo "$uid") $local"; done',
        )  # fmt: skip

    def process(self, output: list[str]) -> Reach:
        words = [line.split() for line in output]
        sockets = [(w[1], *w[2].rpartition(":")[::2]) for w in words if w[0] == "listen"]
        return Reach(
            {w[1]: w[2] for w in words if w[0] == "name" and len(w) > 2},
            tuple(" ".join(w[1:]) for w in words if w[0] == "closed"),
            tuple((u, a, int(p)) for u, a, p in sockets if not a.startswith(("127.", "[::1]"))),
        )


class Canary(Beyond, FactBase[dict[str, Any]]):
    """What ``airflow_canary.py`` says; ``words`` are its arguments."""

    default = dict

    def command(self, words: tuple[str, ...]) -> StringCommand:
        script = helper("airflow_canary.py")
        return StringCommand(script, *map(QuoteString, words), "2>/dev/null || echo '{}'")

    def process(self, output: list[str]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(output[-1])
        return answer
