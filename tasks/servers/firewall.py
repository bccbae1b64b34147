"""Close ports to hosts that don't need them, with nftables rules in their own table.

By itself that is about the ports between hosts alone: the broker, the servers of task logs and a
web UI behind a proxy. None of them asks from where it is asked, and Airflow 1's log server not even
for a login. With ``firewall`` it is about every port, and SSH stays open: new rules count for good
only once this machine has connected anew. A firewall of somebody else's is left as it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator

from pyinfra import host
from pyinfra.api import FactBase, operation
from pyinfra.api.operation import OperationMeta

from ..addresses import EVERYBODY
from ..catalog import distributions, releases, servers
from ..catalog.servers import Server
from ..deploys import deploy
from ..host.files import File, kept, place, written
from ..host.found import Found, Paths, digest
from ..host.look import Look, look
from ..host.machine import HostSystem
from ..host.packages import AptPackages, debs_here, packages
from ..host.steps import Commands, will_have_changed
from ..host.units import Units, Watched, running
from ..resources import template
from ..run import connects_anew, executing
from ..settings import Settings
from ..settings.endpoints import endpoints, port
from ..settings.places import FIREWALL_RULES

UNIT = "airflow-firewall.service"
NEW_RULES = f"{FIREWALL_RULES}.new"
_UNIT_FILE = f"/etc/systemd/system/{UNIT}"
_WATCHED = Watched(UNIT, "/run/airflow-firewall/started", (FIREWALL_RULES, _UNIT_FILE))
_NO_TABLE = "nft delete table inet pyinfra_airflow"
_BACK = f"nft -f {FIREWALL_RULES} || {_NO_TABLE}"
_TIMER = "airflow-firewall-back"
_BACK_AFTER = 60
"""Seconds after which rules go again that nobody has confirmed."""


@deploy("Firewall")
def deploy_firewall(settings: Settings | None = None, *, leaving: Collection[Server] = ()) -> None:
    """Let only the inventory's hosts reach the ports that they need.

    A single host has no such ports: nothing is done unless ``firewall`` closes all others.
    The ports of servers that are ``leaving`` stay guarded until ``deploy_less_guard``.
    """
    settings = with_servers(Settings.of(host, settings), leaving)
    if not _needed(settings):
        if look(HostSystem).firewall:
            absent(name="Remove the firewall rules")
        return
    packages(
        name="Install nftables", packages=distributions.APT["firewall"], debs=debs_here(settings)
    )
    ssh_ports: tuple[int, ...] = look(SshPorts) if settings.firewall else ()
    rules = rules_text(settings, ssh_ports)
    unit = template("airflow-firewall.service", rules=FIREWALL_RULES, before=_guarded_units())
    texts = {FIREWALL_RULES: rules, _UNIT_FILE: unit}
    place({_UNIT_FILE: File(unit)})
    if settings.firewall:
        tried(name="Close all other ports, keeping SSH open", rules=rules)
    else:
        place({FIREWALL_RULES: File(rules)})
    ran = running(name="Load the rules", watched=_WATCHED, texts=texts)
    rules_loaded(name="Keep the rules loaded", unit=UNIT, loading=ran)


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_firewall` ask."""
    if not _needed(settings):
        return
    yield Look.of(AptPackages, packages=distributions.APT["firewall"])
    yield Look.of(Paths, paths=(_UNIT_FILE, FIREWALL_RULES))
    yield Look.of(Units, watched=(_WATCHED,))
    yield Look.of(FirewallTable)
    if settings.firewall:
        yield Look.of(SshPorts)


def _needed(settings: Settings) -> bool:
    """Return whether a host has any rules."""
    return any((allowed(settings), allowed(settings, "udp"), settings.firewall))


def with_servers(settings: Settings, more: Collection[Server]) -> Settings:
    """Return the settings of a host that runs ``more`` servers."""
    components = settings.topology.components.union(each.group for each in more)
    topology = settings.topology.model_copy(update={"components": components})
    return settings.model_copy(update={"topology": topology})


@deploy("Firewall")
def deploy_less_guard(settings: Settings, gone: Collection[Server]) -> None:
    """Remove the rules for the ports of servers that are ``gone``, unless they still run."""
    guarded = with_servers(settings, gone)
    if allowed(guarded) == allowed(settings):
        return
    ssh_ports: tuple[int, ...] = look(SshPorts) if settings.firewall else ()
    rules_fewer(
        name="Remove the rules of servers that have stopped",
        rules=rules_text(settings, ssh_ports) if _needed(settings) else "",
        ports=tuple(port(settings, setting) for each in gone for setting in each.ports),
    )


def _guarded_units() -> list[str]:
    """Return the units that start after the rules are loaded."""
    every = {component for release in releases.RELEASES for component in release.components}
    components = (f"airflow-{each.name}.service" for each in every)
    # Those of PostgreSQL's clusters come after this one of Debian's.
    of_servers = (each.unit.replace("@.", ".") for each in servers.EVERY)
    return sorted({*components, *of_servers})


def rules_text(settings: Settings, ssh_ports: Collection[int]) -> str:
    """Return the rules."""
    ports = allowed(settings)
    return template(
        "airflow-firewall.nft",
        closed=settings.firewall,
        ports={each: _sources(ports[each]) for each in ports if each not in ssh_ports},
        datagrams={each: _sources(come) for each, come in allowed(settings, "udp").items()},
        ssh_ports=ssh_ports,
        ssh_sources=_sources(settings.firewall_allow_ssh or EVERYBODY),
    )


def _sources(addresses: Iterable[str]) -> list[str]:
    return [f"{_family(address)} saddr {address}" for address in addresses]


def allowed(settings: Settings, protocol: str = "tcp") -> dict[int, list[str]]:
    """Return for each port of this host that is guarded who may come: addresses and networks."""
    closed = settings.firewall
    wanted: dict[int, list[str]] = {}
    for each in endpoints(settings):
        if each.protocol == protocol and (each.guarded or (closed and each.clients)):
            wanted.setdefault(each.port, []).extend(each.clients)
    given = settings.firewall_allow if closed and protocol == "tcp" else {}
    for number, addresses in given.items():
        wanted.setdefault(number, []).extend(addresses)
    return {number: list(dict.fromkeys(wanted[number])) for number in sorted(wanted)}


def _family(address: str) -> str:
    """Return nft's word for an address; it looks a name up for IPv4."""
    try:
        return "ip" if ipaddress.ip_network(address, strict=False).version == 4 else "ip6"
    except ValueError:
        return "ip"


@operation()
def tried(rules: str) -> Commands:
    """Load rules that close every port, and keep them if this machine can still connect.

    A timer on the host brings the former ones back unless that has been seen, also when this
    machine is cut off or the run is killed. Until then they are the ones of the next start too.
    """
    wanted = File(rules)
    have = look(Paths, paths=(FIREWALL_RULES,)).get(FIREWALL_RULES)
    if have == Found(wanted.user, wanted.group, wanted.mode, sha256=digest(rules)):
        host.noop("these rules are already in place")
        return
    yield from kept(FIREWALL_RULES, wanted, have)
    yield from written(NEW_RULES, wanted, None)
    yield (
        f"nft -c -f {NEW_RULES} && {{ systemctl stop {_TIMER}.timer 2>/dev/null; systemd-run -q"
        f" --collect --unit={_TIMER} --on-active={_BACK_AFTER} --timer-property=AccuracySec=1s"
        f" /bin/sh -c '{_BACK}' && nft -f {NEW_RULES}; }}"
    )
    if connects_anew():
        yield f"systemctl stop {_TIMER}.timer && mv -fT {NEW_RULES} {FIREWALL_RULES}"
        return
    yield (
        f"{{ {_BACK}; systemctl stop {_TIMER}.timer; rm -f {NEW_RULES}; }} 2>/dev/null;"
        " echo 'the firewall would lock this machine out, so the previous rules are back:"
        " add its network to firewall_allow_ssh' >&2; false"
    )


@operation()
def rules_loaded(unit: str, *, loading: OperationMeta) -> Commands:
    """Load the firewall's rules again after somebody has flushed or changed them."""
    if will_have_changed([loading]) or look(FirewallTable) == "loaded":
        host.noop("the rules are loaded")
        return
    yield f"systemctl restart {unit}"


class OpenPorts(FactBase[list[int]]):
    """Those of some TCP ``ports`` on which something listens."""

    default = list

    def command(self, ports: tuple[int, ...]) -> str:
        wanted = " or ".join(f"sport = :{each}" for each in ports)
        return f"ss -Hltn '{wanted}' 2>/dev/null || true"

    def process(self, output: list[str]) -> list[int]:
        return [int(line.split()[3].rpartition(":")[2]) for line in output]


@operation()
def rules_fewer(rules: str, ports: tuple[int, ...]) -> Commands:
    """Load fewer rules, or none, once nothing listens on ``ports`` any more."""
    if executing() and host.get_fact(OpenPorts, ports=ports):
        host.noop("a server is still running, so its port stays closed to others")
        return
    if not rules:
        yield _ABSENT
        return
    have = look(Paths, paths=(FIREWALL_RULES,)).get(FIREWALL_RULES)
    if have == File(rules).found:
        host.noop("these rules are loaded")
        return
    yield from written(FIREWALL_RULES, File(rules), have)
    yield f"systemctl restart {UNIT}"


_ABSENT = (
    f"systemctl disable -q --now {UNIT}; rm -f {_UNIT_FILE} {FIREWALL_RULES};"
    f" systemctl daemon-reload; {_NO_TABLE} 2>/dev/null || true"
)


@operation()
def absent() -> Commands:
    """Remove the rules with their unit."""
    yield _ABSENT


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


@operation()
def rules_absent() -> Commands:
    """Remove our table of nftables."""
    if not host.get_fact(FirewallTable):
        host.noop("this package has loaded no rules here")
        return
    yield "nft delete table inet pyinfra_airflow"
