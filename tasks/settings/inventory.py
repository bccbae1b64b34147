"""The only reader of inventory data: from it, and from secrets, to the settings of a host."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr, ValidationError
from pyinfra.api import Host

from ..catalog.model import Release
from ..catalog.servers import BACKENDS, BROKERS, EVERY, Role, Server
from ..run import memory
from . import certificates, secrets, urls
from .model import Model
from .placement import Members, Placement, address, among, hostname, in_groups
from .refusals import DERIVED, sentence
from .topology import Topology
from .types import SettingsError, as_secret

PREFIXES = (
    *("airflow_", "python_", "firewall_", "monitoring_"),
    *(
        f"{server.group}_"
        for server in EVERY
        if server.role is not Role.EXPORTER and not server.like
    ),
)
_KEPT = "airflow_settings"
"""Where a host's connector data keeps its completed settings."""


class Settings(Model):
    """Everything that the deploy functions need to know of one host."""

    @classmethod
    def of(cls, host: Host, settings: Settings | None = None) -> Settings:
        """Complete ``settings``, or else the data of ``host``, by the inventory and the secrets.

        What is complete is taken as it is, and what a host was given is completed once a run.
        SettingsError says in one sentence what is wrong.
        """
        if settings and settings.is_complete:
            return settings
        given = _given(settings) if settings else _ours(host.data.dict())
        kept: _Completed | None = memory(host).get(_KEPT)
        if kept is None or kept.given != given:
            kept = memory(host)[_KEPT] = _Completed(given, _completed(host, given))
        return kept.settings

    @property
    def is_complete(self) -> bool:
        """Whether the inventory has completed them, which alone says how the host stands in it."""
        return "topology" in self.model_fields_set

    def secrets_file(self, host: Host) -> Path:
        """Return the file of the generated secrets."""
        return self.airflow_secrets_file or secrets.default_file(host.groups)


class _Completed(NamedTuple):
    """What a host was given, and what became of it."""

    given: Mapping[str, Any]
    settings: Settings


def _completed(host: Host, given: Mapping[str, Any]) -> Settings:
    given = {**given, **_from_urls(host, given)}
    checked = _checked(given)
    merged = {**_from_inventory(host, checked), **given}
    hidden = {name: checked.secret(name) for name in secrets.GENERATORS if name in given}
    return _checked({**merged, **_all_secrets(hidden, checked.secrets_file(host))})


def _given(settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in settings if name in settings.model_fields_set}


def _all_secrets(given: Mapping[str, str], file: Path) -> dict[str, str]:
    try:
        return secrets.complete(given, file)
    except OSError as error:
        why = error.strerror
    raise SettingsError(f"airflow_secrets_file can't be used: {why}: choose another place for it")


def _ours(data: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the settings out of an inventory's data and refuse what looks like one but is none."""
    known = set(Settings.model_fields) - DERIVED
    for key in data:
        if key.startswith(PREFIXES) and key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see docs/settings.md"
            raise SettingsError(f"unknown setting {key}: {hint}")
    return {key: data[key] for key in data if key in known and data[key] is not None}


def _checked(values: Mapping[str, Any]) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        refusal = sentence(error)
    # Not while that is handled: its error has the values, and would be this one's context.
    raise SettingsError(refusal)


def _from_urls(host: Host, given: Mapping[str, Any]) -> dict[str, Any]:
    """Split the URLs of servers into the settings that they stand for."""
    found: dict[str, Any] = {}
    for server in (each.group for each in BACKENDS if each.may_be_external):
        name = f"{server}_url"
        if given.get(name) is None:
            continue
        if in_groups(host, [server]):
            raise SettingsError(
                f"{name} names a server, and the inventory has a host in {server}: leave one out"
            )
        url = as_secret(given[name])
        url = url.get_secret_value() if isinstance(url, SecretStr) else url
        if not isinstance(url, str):
            raise SettingsError(f"{name} is not a string: give a URL")
        try:
            parts = urls.parts(server, url)
        except ValueError as error:
            raise SettingsError(f"{name} can't be used: {error}") from None
        both = [part for part in parts if given.get(part) is not None and part != name]
        if both:
            raise SettingsError(f"{name} says {both[0]} too: leave {both[0]} out")
        found.update(parts)
    return found


def _from_inventory(host: Host, checked: Settings) -> dict[str, Any]:
    """Derive from the inventory what a host has to know of the others."""
    placement = Placement(host, checked.release)
    placement.check()
    _check_broker(checked, placement.members)
    topology = placement.topology()
    return {
        **_servers(host, placement.members),
        **_tls(host, checked, placement.members),
        **_web_host(checked.release, topology),
        "topology": topology,
    }


def _web_host(release: Release, topology: Topology) -> dict[str, str]:
    """Return where the web UI listens behind a proxy; without one the default applies."""
    if not topology.proxies or release.web.name not in topology.components:
        return {}
    return {"airflow_web_host": topology.address if topology.web_clients else "127.0.0.1"}


def _check_broker(checked: Settings, members: Members) -> None:
    """Refuse two brokers, and one that the release can't use as it is asked for."""
    release = checked.release
    if not any(members[component.name] for component in release.components):
        return
    used = [each for each in BROKERS if members[each.group] or _named(checked, each)]
    if len(used) > 1:
        names = [each.name for each in used]
        raise SettingsError(
            f"there are two brokers, {names[0]} and {names[1]}: leave the {used[0].group} or the"
            f" {used[1].group} part out"
        )
    for broker in used:
        if broker.settings == "redis" and not release.redis_url:
            raise SettingsError(
                f"Airflow {release.version} can't use {broker.name} here: use RabbitMQ, in the"
                " group rabbitmq"
            )
        if checked.servers[broker.settings].tls and not release.broker_tls:
            raise SettingsError(
                f"Airflow {release.version} can't check its broker's certificate: "
                f"leave {broker.settings}_tls out"
            )


def _named(checked: Settings, server: Server) -> bool:
    """Return whether the settings name an external server."""
    return server.may_be_external and checked.servers[server.settings].host is not None


def _tls(host: Host, checked: Settings, members: Members) -> dict[str, Any]:
    """Return port, CA and certificate of the servers with TLS, as far as they are not given."""
    found: dict[str, Any] = {"rabbitmq_port": 5671} if checked.rabbitmq_tls else {}
    folder = certificates.folder(checked.secrets_file(host))
    for server in BACKENDS:
        given, prefix = checked.servers[server.settings], server.settings
        if not members[server.group] or not given.tls or given.certificate:
            continue
        found[f"{prefix}_ca"] = certificates.authority(folder).certificate
        if among(host, members[server.group]):
            addresses = (address(host), host.name, "localhost", "127.0.0.1", "::1")
            pair = certificates.issued(folder, hostname(host), addresses)
            found[f"{prefix}_certificate"], found[f"{prefix}_certificate_key"] = pair
    return found


def _servers(host: Host, members: Members) -> dict[str, str]:
    found = {}
    for server in BACKENDS:
        hosts, setting = members[server.group], f"{server.settings}_host"
        if len(hosts) > 1:
            raise SettingsError(f"group {server.group} has {len(hosts)} hosts; leave one in it")
        if hosts:
            found[setting] = "127.0.0.1" if among(host, hosts) else address(hosts[0])
    return found
