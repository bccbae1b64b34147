"""What a run refuses after one look at its hosts, before the first change on any of them. Pure.

Each finding is one sentence: what was found, and what mends it or consents to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain

from ..catalog import servers
from ..catalog.servers import PGBOUNCER, UNITS
from ..settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings
from ..settings.accounts import accounts
from ..settings.endpoints import Endpoint, endpoints
from .metadata import of_database
from .survey import KEY, Listener, Process, Seen, Site, fingerprints
from .words import ADOPT, listed

_OURS = {
    ENVIRONMENT: re.compile(
        r"(bin|lib|build|bootstrap|wheels|current|previous)(\..*)?|\d.*-[0-9a-f]{8}.*"
    ),
    CONFIGURATION: re.compile(r"(airflow|secrets|reports)\.env.*|[a-z]+-ca\.crt.*"),
}
"""What this package puts into its folders."""
_NO_SHELLS = ("nologin", "false")


def findings(sites: Mapping[str, Site], *, replacing: bool = False) -> list[str]:
    """Return every reason to refuse a run on ``sites``, which are by host name.

    With ``replacing`` there is consent to lose what the database holds, with its key.
    """
    each = chain.from_iterable(_of_host(name, site) for name, site in sites.items())
    # The Airflow of servers alone is somebody else's business, as are its keys and its database.
    for_airflow = any(
        s.settings.airflow_components or s.settings.topology.hosts for s in sites.values()
    )
    asked = sites.items() if for_airflow else ()
    stored = chain.from_iterable(of_database(*each, sites, replacing) for each in asked)
    keys = _keys(sites) if for_airflow and not replacing else []
    return list(dict.fromkeys((*keys, *each, *stored)))


def removals(sites: Mapping[str, Site]) -> list[str]:
    """Return why an uninstall on ``sites`` is refused: it would remove what is not ours."""
    return [sentence for name, site in sites.items() for sentence in _removals(name, site)]


def _removals(name: str, site: Site) -> Iterator[str]:
    seen, data = site.seen, site.settings.airflow_uninstall_data
    removed = (ENVIRONMENT, CONFIGURATION) if data else (ENVIRONMENT,)
    foreign = [unit for unit in seen.units if unit.startswith("/etc/systemd/system/airflow-")]
    foreign += [f"{path}/{each}" for path, each in _others(seen) if path in removed]
    foreign += [path for path in seen.files if data]
    if foreign:
        yield (
            f"{name} has files in this package's folders that it did not put there"
            f" ({listed(foreign)}): move them away first"
        )
    if data and not seen.ours and (seen.folders or seen.databases or seen.nodes):
        yield (
            f"{name} has nothing that this package set up, so airflow_uninstall_data would"
            " remove someone else's data: take the host out of the inventory, or leave the"
            " setting out"
        )


def _others(seen: Seen) -> Iterator[tuple[str, str]]:
    """Return what in the folders of ours is not from this package: folder and name."""
    for path, ours in _OURS.items():
        yield from ((path, each) for each in seen.entries.get(path, ()) if not ours.fullmatch(each))


def _of_host(name: str, site: Site) -> Iterator[str]:
    settings, seen = site.settings, site.seen
    yield from _packages(name, settings, seen)
    yield from _accounts(name, settings, seen)
    yield from _taken_ports(name, settings, seen)
    if settings.airflow_components:
        yield from _other_airflow(name, seen)
        yield from _home(name, settings, seen)
    # What is strange beside an Airflow of ours was changed there by hand: the run mends it.
    if settings.airflow_components and not seen.current:
        yield from _units(name, settings, seen)
        yield from _folders(name, settings, seen)
    if "rabbitmq" in settings.topology.components:
        yield from _node(name, settings, seen)
    if "postgresql" in settings.topology.components:
        yield from _silent_cluster(name, seen)
    if not settings.airflow_adopt:
        yield from _servers(name, settings, seen)


def _other_airflow(name: str, seen: Seen) -> Iterator[str]:
    if seen.processes:
        yield (
            f"{name} already runs another Airflow ({described(seen)}): two on one host interfere"
            " with each other, so stop and disable it first, or deploy to another host"
        )


def described(seen: Seen) -> str:
    """Describe another Airflow in a few words."""
    homes = [process.home for process in seen.processes if process.home != "-"]
    units = [unit.rpartition("/")[2] for unit in seen.units]
    parts = (
        str(seen.stored) if seen.stored and seen.stored.airflow else "",
        listed(_process(process) for process in seen.processes),
        f"units {listed(units)}" if units else "",
        f"AIRFLOW_HOME {listed(homes)}" if homes else "",
    )
    return "; ".join(filter(None, parts))


def _process(process: Process) -> str:
    unit = "" if process.unit == "-" else f" by {process.unit}"
    return f"{process.component} of user {process.user}, process {process.pid}{unit}"


def _accounts(name: str, settings: Settings, seen: Seen) -> Iterator[str]:
    """Refuse accounts of people, and a change of a home that usermod would refuse."""
    homes = accounts(settings)
    for account, login in seen.accounts.items():
        if not login.shell.endswith(_NO_SHELLS):
            yield (
                f"{name} has an account {account} that someone logs in to (UID {login.number},"
                f" shell {login.shell}), and this package needs that name for its own account:"
                " rename it, or deploy to another host"
            )
        elif login.used and login.home != homes[account] and not seen.processes:
            keep = f", or set airflow_home to {login.home}" if account == "airflow" else ""
            yield (
                f"{name} has an account {account} whose home {login.home} can't become"
                f" {homes[account]} while it is in use ({login.used}): stop it{keep}"
            )


def _units(name: str, settings: Settings, seen: Seen) -> Iterator[str]:
    """Refuse units of others; by consent those with a name of ours are replaced, and kept."""
    if seen.processes:
        return
    others = [unit for unit in seen.units if "/airflow-" not in unit]
    if seen.units and not settings.airflow_adopt:
        yield (
            f"{name} has units of an Airflow that this package did not set up"
            f" ({listed(seen.units)}): disable and remove them, or {ADOPT}; units with the same"
            " names are then replaced, and copies kept"
        )
    elif others:
        yield f"{name} has units of another Airflow ({listed(others)}): disable and remove them"


def _taken_ports(name: str, settings: Settings, seen: Seen) -> Iterator[str]:
    own = {unit.rpartition("/")[2] for unit in seen.units}
    for endpoint in (each for each in endpoints(settings) if each.protocol == "tcp"):
        port = endpoint.port
        for each in seen.listeners:
            if each.port != port or (each.unit not in own and _may_listen(each, endpoint, seen)):
                continue
            if seen.processes and each.unit in (*own, *(p.unit for p in seen.processes)):
                continue  # told with the other Airflow
            by = f"{each.program}, process {each.pid}" + (
                "" if each.unit == "-" else f" of {each.unit}"
            )
            yield (
                f"port {port} of {name} is in use by another program ({by}): stop it, or set"
                f" {endpoint.setting} to another port"
            )


def _packages(name: str, settings: Settings, seen: Seen) -> Iterator[str]:
    """Refuse servers whose packages the distribution does not have."""
    for server in servers.EVERY:
        wanted = server.group in settings.topology.components
        if wanted and not server.to_be_had(seen.distribution):
            yield (
                f"{name} has {seen.distribution or 'an unknown distribution'}, which does not have"
                f" {server.name}: use a host with {' or '.join(server.distributions)}, or another"
                " server in its place"
            )


def _may_listen(listener: Listener, endpoint: Endpoint, seen: Seen) -> bool:
    """Return whether a unit is the one that a port is for, or one of ours that may leave it."""
    units = UNITS if seen.current or seen.marked else endpoint.units
    return listener.unit.startswith(units)


def _node(name: str, settings: Settings, seen: Seen) -> Iterator[str]:
    if seen.nodes and settings.rabbitmq_node_name not in seen.nodes:
        yield (
            f"{name} has a RabbitMQ node {seen.nodes[0]} with data: set rabbitmq_node_name ="
            f' "{seen.nodes[0]}" to use it'
        )


def _silent_cluster(name: str, seen: Seen) -> Iterator[str]:
    if seen.cluster == "other" and seen.unknown:
        yield (
            f"{name} has a PostgreSQL that this package did not set up, and its contents can't be"
            f" read ({seen.unknown}): start it, or set postgresql_url to another"
        )


def _servers(name: str, settings: Settings, seen: Seen) -> Iterator[str]:
    """Refuse to configure servers that others have configured for themselves."""
    here = settings.topology.components
    ours = {settings.postgresql_database, settings.postgresql_results_database}
    others = [each for each in seen.databases if each not in ours]
    node = settings.rabbitmq_node_name in seen.nodes and not _named(settings)
    if "rabbitmq" in here and node and seen.broker == "other":
        yield (
            f"{name} has a RabbitMQ that this package did not configure: use it as an external"
            f" broker with rabbitmq_url, which leaves it unchanged, or {ADOPT}"
        )
    if PGBOUNCER.group in here and seen.pool == "other":
        yield (
            f"{name} has a PgBouncer that this package did not configure: leave the group"
            f" pgbouncer out, or {ADOPT}; its configuration is then replaced"
        )
    if "postgresql" in here and seen.cluster == "other" and others:
        yield (
            f"{name} has a PostgreSQL that also has other databases ({listed(others)}): use it"
            " as an external server with postgresql_url, which leaves it unchanged, or"
            f" {ADOPT}; its settings and addresses then follow the inventory"
        )


def _named(settings: Settings) -> bool:
    return settings.rabbitmq_node_name != Settings.model_fields["rabbitmq_node_name"].default


def _home(name: str, settings: Settings, seen: Seen) -> Iterator[str]:
    """Refuse an AIRFLOW_HOME that is somebody's; a changed one of ours is mended."""
    home = settings.airflow_home
    if settings.airflow_adopt or seen.home == home:
        return
    owner = seen.folders.get(home, "airflow")
    if f"{home}/airflow.cfg" in seen.files:
        yield (
            f"{name} has a {home}/airflow.cfg that this package did not write, with the Fernet key"
            " and the passwords of another Airflow: set airflow_home to another folder, or set"
            f" that key as {KEY} and {ADOPT}, which keeps a copy"
        )
    elif owner != "airflow":
        yield (
            f"{name} has airflow_home {home} with files of the user {owner}, who could no longer"
            f" read them: set it to another folder, or {ADOPT}"
        )


def _folders(name: str, settings: Settings, seen: Seen) -> Iterator[str]:
    if settings.airflow_adopt:
        return
    owner = seen.folders.get(LOGS, "airflow")
    if owner != "airflow":
        yield (
            f"{name} has {LOGS} with files of the user {owner}, who could no longer read them:"
            f" move them away, or {ADOPT}"
        )
    if others := [f"{path}/{each}" for path, each in _others(seen)]:
        yield (
            f"{name} has files in this package's folders that it did not put there"
            f" ({listed(others)}): move them away, or {ADOPT}"
        )


def _keys(sites: Mapping[str, Site]) -> list[str]:
    """Refuse a Fernet key that would take the place of one which opens what is stored."""
    keys = next((site.settings.secret(KEY) for site in sites.values()), "")
    stored = next((s.seen.stored for s in sites.values() if s.seen.stored), None)
    locked = stored.locked(keys) if stored else []
    if stored and stored.secrets and not locked:
        return []
    strangers = _strangers(sites, fingerprints(keys))
    if any(site.seen.processes for site in sites.values()):
        return []  # told with the other Airflow, whose key it is
    if strangers and not _only_marks(sites):
        return [_other_key(name, sites[name]) for name in strangers]
    if others := [name for name, site in sites.items() if _other_file(site)]:
        return [_other_secrets(name, sites[name]) for name in others]
    return [_locked(locked, len(stored.secrets))] if stored and locked else []


def _only_marks(sites: Mapping[str, Site]) -> bool:
    """Return whether a first run has come no further than to its marks: no key is in use yet."""
    seen = [site.seen for site in sites.values() if site.holds_database]
    used = any(each.unknown or (each.stored and each.stored.used) for each in seen)
    return bool(seen) and not used and not any(s.seen.in_use for s in sites.values())


def _strangers(sites: Mapping[str, Site], ours: frozenset[str]) -> list[str]:
    """Name the hosts with another key; those of servers alone where no Airflow knows better."""
    with_keys = {name: site for name, site in sites.items() if site.seen.keys}
    airflow = {name: s for name, s in with_keys.items() if s.settings.airflow_components}
    return [n for n, s in (airflow or with_keys).items() if not s.seen.keys & ours]


def _other_key(name: str, site: Site) -> str:
    if KEY in site.generated:
        return (
            f"{name} has a different Fernet key from this machine ({site.secrets_file} was"
            " missing, or is older or newer): get that file from whoever deployed the host, or run"
            " tasks.deploy_secrets_fetch; only tasks.deploy_fernet_key_rotation makes a new key"
        )
    return (
        f"{KEY} is not the key of {name}, which decrypts what is stored there: set it to that, or"
        ' to "NEW,OLD" and rotate'
    )


def _other_file(site: Site) -> bool:
    """Return whether a host was deployed with none of several secrets."""
    before = dict(pair.split(":") for pair in site.seen.marked.get("secrets", "").split())
    both = [name for name in before.keys() & site.generated.keys() if name != KEY]
    return len(both) > 1 and all(before[name] != site.generated[name] for name in both)


def _other_secrets(name: str, site: Site) -> str:
    return (
        f"{name} was deployed with passwords and keys other than those in {site.secrets_file}: get"
        " that file from whoever deployed the host, or run tasks.deploy_secrets_fetch"
    )


def _locked(locked: list[str], every: int) -> str:
    return (
        f"{len(locked)} of {every} stored secrets don't decrypt with {KEY} ({listed(locked)}):"
        ' add the key that encrypted them ("THIS,THAT"), or remove them from Airflow'
    )
