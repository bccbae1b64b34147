"""The place of a host among the others of the inventory."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pyinfra.api import Host

from ..addresses import bracketed
from ..catalog import servers
from ..catalog.model import Component, Release
from .proxy import Proxy
from .refusals import of_host
from .topology import Topology
from .types import SettingsError
from .web import Web
from .workers import Workers

Members = Mapping[str, list[Host]]
"""The hosts of every server and component, by its name."""


@dataclass(frozen=True)
class Placement:
    """The place of a host among the others of the inventory.

    Hosts are compared by name: ``host`` is pyinfra's stand-in for the one being deployed.
    """

    host: Host
    release: Release

    @cached_property
    def members(self) -> Members:
        """The hosts of every server and component, by its name."""
        members = {each.group: in_groups(self.host, [each.group]) for each in servers.EVERY}
        return members | {c.name: in_groups(self.host, c.groups) for c in self.release.components}

    @cached_property
    def everyone(self) -> list[Host]:
        """All hosts that run something."""
        return list(dict.fromkeys(each for hosts in self.members.values() for each in hosts))

    @cached_property
    def airflow(self) -> list[Host]:
        """Those that run a component of Airflow."""
        return [each for each in self.everyone if self.components(each)]

    @cached_property
    def others(self) -> list[Host]:
        """Those of them that are not this host."""
        return [each for each in self.airflow if each.name != self.host.name]

    @cached_property
    def with_database(self) -> list[Host]:
        """Those of them that may use the metadata database."""
        return [
            each
            for each in self.airflow
            if any("database_url" not in c.withheld for c in self.components(each))
        ]

    @cached_property
    def migrating(self) -> list[Host]:
        """The one that makes the schema and the login."""
        return (self.members["scheduler"] or self.with_database)[:1]

    @cached_property
    def web_clients(self) -> list[Host]:
        """The others that call the web UI: proxies, and the workers from Airflow 3 on."""
        calling = self.members["worker"] if "execution_url" in self.release.keys else []
        clients = (*self.members[servers.PROXY.group], *calling)
        return [e for e in self.everyone if among(e, clients) and e.name != self.host.name]

    def components(self, each: Host) -> list[Component]:
        """Return the components of Airflow that a host runs."""
        return [c for c in self.release.components if among(each, self.members[c.name])]

    def check(self) -> None:
        """Raise SettingsError for groups that can't work together."""
        _check_complete(self.release, self.members)
        _check_exporters(self.members)
        _check_pgbouncer(self.members)
        _check_queues(self.host, self.members["worker"])

    def topology(self) -> Topology:
        """Return what the host has to know of the inventory."""
        host, members = self.host, self.members
        web, proxies = members[self.release.web.name], members[servers.PROXY.group]
        pooled = bool(members[servers.PGBOUNCER.group])
        direct = [e for e in self.others if not pooled or among(e, self.migrating)]
        return Topology(
            name=hostname(host),
            address=address(host),
            components=frozenset(name for name, hosts in members.items() if among(host, hosts)),
            servers=frozenset(e.settings for e in servers.BACKENDS if members[e.group]),
            hosts=tuple(map(address, self.others)),
            database_hosts=tuple(address(e) for e in self.others if among(e, self.with_database)),
            direct_hosts=tuple(map(address, direct)),
            pooled=pooled,
            web_hosts=tuple(map(address, web)),
            web_clients=tuple(map(address, self.web_clients)),
            proxies=tuple(map(address, proxies)),
            proxy_names=tuple(dict.fromkeys(name for proxy in proxies for name in _names(proxy))),
            proxy_url=_proxy_url(proxies[0]) if proxies else "",
            web_here=[each.name for each in web] == [host.name],
            database_here=among(host, self.migrating),
            workers=tuple(map(hostname, members["worker"])),
            queues=_queues(members["worker"]),
            statsd=_statsd(members["statsd_exporter"], self.airflow),
            names=_lines_of_hosts(self.everyone),
            database="".join(map(address, members["postgresql"][:1])),
            known=tuple(dict.fromkeys(n for e in self.everyone for n in (hostname(e), address(e)))),
        )


def in_groups(host: Host, groups: Iterable[str]) -> list[Host]:
    """Return the hosts of some groups of the host's inventory."""
    found = (host.inventory.get_group(group, default=[]) for group in groups)
    return list(dict.fromkeys(member for group in found for member in group))


def _lines_of_hosts(everyone: Iterable[Host]) -> tuple[str, ...]:
    return tuple(f"{address(e)} {e.name}" for e in everyone if hostname(e) != address(e))


def _names(proxy: Host) -> list[str]:
    """Return the names by which people know a proxy, the one in links first."""
    return list(filter(None, (of_host(proxy, Proxy).proxy_server_name, address(proxy))))


def _proxy_url(proxy: Host) -> str:
    port = of_host(proxy, Proxy).proxy_port
    return f"https://{bracketed(_names(proxy)[0])}{'' if port == 443 else f':{port}'}"


def _check_complete(release: Release, members: Members) -> None:
    if members[servers.PROXY.group] and not members[release.web.name]:
        raise SettingsError(
            f"a proxy does nothing without a {release.web.description}: put a host in the group "
            f"{release.web.groups[0]}"
        )
    if any(members[component.name] for component in release.components):
        for component in release.components:
            if component.required and not members[component.name]:
                raise SettingsError(
                    f"Airflow {release.version} does nothing without a {component.description}: "
                    f"put a host in the group {component.groups[0]}"
                )


def _check_pgbouncer(members: Members) -> None:
    """Refuse a PgBouncer that is not on the host of our own database."""
    for member in members[servers.PGBOUNCER.group]:
        if not among(member, members["postgresql"]):
            raise SettingsError(
                f"group pgbouncer has {member.name}, which does not run postgresql: put that host"
                " in it, or leave it out if the database is external"
            )


def _check_exporters(members: Members) -> None:
    """Refuse an exporter that could not reach its server."""
    if len(members["statsd_exporter"]) > 1:
        raise SettingsError("group statsd_exporter has more than one host; leave one in it")
    for part in (each.group for each in servers.BACKENDS):
        for member in members.get(f"{part}_exporter", ()):
            if not among(member, members[part]):
                raise SettingsError(
                    f"group {part}_exporter has {member.name}, which does not run {part}: the"
                    f" exporter reads from its own host, so put that of group {part} in it"
                )


def _statsd(exporters: Sequence[Host], airflow: Sequence[Host]) -> str | None:
    """Return the address that takes metrics: loopback where nobody else sends any."""
    if not exporters:
        return None
    alone = [member.name for member in airflow] in ([], [exporters[0].name])
    return "127.0.0.1" if alone else address(exporters[0])


def _check_queues(host: Host, workers: Sequence[Host]) -> None:
    """Refuse a default queue that no worker takes tasks from: they would wait forever."""
    default = of_host(host, Workers).airflow_default_queue
    if workers and default not in _queues(workers):
        raise SettingsError(
            "no worker takes tasks from airflow_default_queue: add it to the "
            "airflow_worker_queues of one"
        )


def _queues(workers: Sequence[Host]) -> tuple[str, ...]:
    found = (of_host(worker, Workers).airflow_worker_queues for worker in workers)
    return tuple(sorted({queue for queues in found for queue in queues}))


def among(host: Host, hosts: Iterable[Host]) -> bool:
    """Return whether a host is one of several."""
    return host.name in [member.name for member in hosts]


def address(host: Host) -> str:
    """Return the address that the other hosts reach a host at."""
    given = of_host(host, Web).airflow_address
    return str(given or host.data.get("ssh_hostname") or host.name)


def hostname(host: Host) -> str:
    """Return the inventory's name of a host where it can be a host's name, else its address."""
    try:
        ipaddress.ip_address(host.name)
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", host.name):
            return host.name
    return address(host)
