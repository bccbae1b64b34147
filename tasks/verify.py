"""Prove that what is deployed works, and say so in a table of one row a check.

Nothing is changed but for one run of the DAG that has a task for each worker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation

from . import monitoring, pgbouncer, rabbitmq, redis
from .addresses import EVERYWHERE, is_loopback
from .airflow import CANARY, ask, configuration, question, schema_question
from .airflow_cfg import api_url
from .deploys import deploy
from .facts import (
    Canary,
    FirewallTable,
    HostSystem,
    NetworkReach,
    Paths,
    PostgresqlContents,
    ProxyStatus,
    RabbitmqDefinitions,
    RabbitmqQueues,
    Reach,
    look,
)
from .operations import Commands, barrier, digest, run_quietly
from .postgresql import listen
from .proxy import url
from .releases import PGBOUNCER, PROXY, Component
from .settings import FORMER, Settings
from .system import CLOCK_WITHIN, of_this_host

_RUNS_WITHIN = 60
"""Seconds that the canary's run has, and before it the scheduler to find its DAG."""
_OURS = ("airflow", "postgres", "rabbitmq", "epmd", "redis", monitoring.USER)
"""Users of the host whose sockets are looked at."""
_FORMER = "airflow_former"
"""What a host's connector data has where secrets from before are kept."""
_EVERYWHERE = (*EVERYWHERE, "*", "[::]")
"""The same as ss and PostgreSQL write them."""


@dataclass(frozen=True)
class Row:
    """One check, and what was seen."""

    check: str
    host: str
    right: bool | None
    """None for what is only told: a person knows whether it is as it should be."""
    saw: str


@deploy("Verify")
def deploy_verify(settings: Settings | None = None) -> None:
    """Check every component, and run a task on each worker; a wrong row ends the run in failure."""
    settings = of_this_host(settings)
    examined(name="Look at every component", settings=settings)
    barrier(name="Wait for every host's look")
    if settings.topology.database_here:
        canary_ran(name="Run a task on each worker", settings=settings)
    barrier(name="Wait for the tasks")
    if settings.release.web in settings.airflow_components:
        logs_read(name="Read the tasks' logs as the web UI does", settings=settings)
    barrier(name="Wait for the logs")
    told(name="Tell what was seen")


def _rows() -> list[Row]:
    """Give the rows of this host, to add to."""
    rows: list[Row] = host.connector_data.setdefault("airflow_rows", [])
    return rows


@operation()
def examined(settings: Settings) -> Commands:
    """Check what this host has, without changing anything."""
    if state.is_executing:
        _rows().extend(_examine(settings))
    host.noop("looking changes nothing")
    yield from ()


def _examine(settings: Settings) -> Iterator[Row]:
    yield _clock(look(HostSystem).ahead)
    yield from _network(settings)
    if settings.airflow_components:
        yield from _components(settings)
        yield _configured(settings)
    if settings.topology.database_here:
        yield from _metadata(settings)
    yield from _metrics(settings)
    if "postgresql" in settings.topology.components:
        yield _role(settings)
    if "rabbitmq" in settings.topology.components:
        yield from _broker(settings)
    if PROXY in settings.topology.components:
        status = look(ProxyStatus, url=url(settings))
        yield _row("proxy", status == "200", "Airflow answers" if status == "200" else status)
    if settings.firewall:
        table = look(FirewallTable)
        yield _row("firewall", table == "loaded", table or "not loaded")


def _row(check: str, right: bool | None, saw: str) -> Row:
    return Row(check, host.name, right, saw)


def _clock(ahead: float) -> Row:
    return _row("clock", abs(ahead) <= CLOCK_WITHIN, f"{ahead:+.0f} s from this machine's")


def _network(settings: Settings) -> Iterator[Row]:
    """Check that names resolve, that what is needed answers, and that nothing else is open."""
    pairs = (line.split() for line in settings.topology.names)
    wanted = {name: address for address, name in pairs}
    reach = look(NetworkReach, names=tuple(wanted), ports=needed(settings))
    astray = [name for name, address in wanted.items() if reach.resolved.get(name) != address]
    yield _row("names of the hosts", not astray, f"astray: {', '.join(astray)}" if astray else "ok")
    closed = ", ".join(reach.closed)
    yield _row("servers in reach", not closed, f"no answer from {closed}" if closed else "ok")
    open_ = strangers(settings, reach)
    yield _row("open ports", not open_, f"not asked for: {', '.join(open_)}" if open_ else "ok")


def needed(settings: Settings) -> tuple[str, ...]:
    """List what this host's components connect to, as ``HOST PORT``."""
    release, topology = settings.release, settings.topology
    found = []
    if settings.airflow_components:
        broker = settings.servers[settings.broker]
        found += [
            f"{settings.server('postgresql')} {settings.database_port}",
            f"{settings.server(broker.name)} {broker.port}",
        ]
    web = [each for each in topology.web_hosts if each != topology.address]
    calls_api = "execution_url" in release.keys and "worker" in topology.components
    if PROXY not in topology.components:
        web = web[:1] if calls_api and release.web not in settings.airflow_components else []
    return (*found, *(f"{address} {settings.airflow_web_port}" for address in web))


def strangers(settings: Settings, reach: Reach) -> list[str]:
    """List the sockets of ours that listen where the settings do not say so."""
    asked = ports(settings)
    return [
        f"{address}:{port} of {user}"
        for user, address, port in reach.listening
        if user in _OURS and not (port in asked and (asked[port] or address not in _EVERYWHERE))
    ]


def ports(settings: Settings) -> dict[int, bool]:
    """Give the ports on which this host may be reached by others, and whether at any address."""
    topology = settings.topology
    servers: list[tuple[int, str]] = []
    if "postgresql" in topology.components:
        servers += [(settings.postgresql_port, each) for each in listen(settings).split(",")]
    if PGBOUNCER in topology.components:
        servers += [(settings.pgbouncer_port, each) for each in pgbouncer.listeners(settings)]
    if "rabbitmq" in topology.components:
        servers += [(settings.rabbitmq_port, each) for each in rabbitmq.listeners(settings)]
    if "redis" in topology.components:
        servers += [(settings.redis_port, each) for each in redis.listeners(settings)]
    for component in settings.airflow_components:
        servers += _servers(settings, component)
    listens = monitoring.address(settings)
    servers += [(port, listens) for port in monitoring.ports(settings).values()]
    reachable = [(port, address.strip()) for port, address in servers]
    reachable = [(port, address) for port, address in reachable if not is_loopback(address)]
    everywhere = {port for port, address in reachable if address in _EVERYWHERE}
    return {port: port in everywhere for port, _ in reachable}


def _servers(settings: Settings, component: Component) -> list[tuple[int, str]]:
    if component.probe == ("web",):
        return [(settings.airflow_web_port, settings.airflow_web_host)]
    if component.probe == ("health",) and settings.airflow_health_port:
        return [(settings.airflow_health_port, settings.airflow_web_host)]
    if component.probe == ("flower",):
        return [(settings.airflow_flower_port, settings.airflow_flower_host)]
    if component.log_port and not settings.topology.web_here:
        return [(getattr(settings, component.log_port), "*")]
    return []


def _components(settings: Settings) -> Iterator[Row]:
    here = settings.airflow_components
    works = {component: question(settings, component) for component in here}
    ages = {part: ("age", part.probe[1]) for part in here if part.probe[0] == "heartbeat"}
    files = [("files",)] if settings.release.parser in here else []
    said = ask((*works.values(), *ages.values(), *files))
    for component in here:
        right = said[works[component]] == "yes"
        saw = "works" if right else f"does not work ({said[works[component]] or 'not installed'})"
        if component in ages:
            saw += f", last heartbeat {said[ages[component]]} s ago"
        yield _row(component.description, right, saw)
    for each in files:
        yield _without_file(said[each])


def _without_file(said: str) -> Row:
    """Note the names: a DAG that has just been taken away stays active for minutes, or for ever."""
    right = True if said == "none" else False if said in ("", "unknown") else None
    return _row("DAGs without a file", right, said or "not installed")


def _metrics(settings: Settings) -> Iterator[Row]:
    scrapes = {each: monitoring.scrape(settings, each) for each in monitoring.here(settings)}
    words = monitoring.said(tuple(scrapes.values())) if scrapes else {}
    for exporter, scrape in scrapes.items():
        right = words[scrape] == "yes"
        where = f"{scrape.address}:{scrape.port}"
        saw = f"at {where}" if right else f"none at {where} ({words[scrape]})"
        yield _row(f"metrics of {exporter.what}", right, saw)


def _configured(settings: Settings) -> Row:
    """Compare the files with the inventory's: so every host has the same secrets."""
    files = configuration(settings)
    have = look(Paths, paths=(*files, FORMER))
    host.connector_data[_FORMER] = FORMER in have
    other = [
        Path(path).name
        for path, file in files.items()
        if path not in have
        or (have[path].sha256, have[path].mode) != (digest(file.text), file.mode)
    ]
    saw = f"not the inventory's: {', '.join(other)}" if other else "the inventory's"
    return _row("configuration and secrets", not other, saw)


def _metadata(settings: Settings) -> Iterator[Row]:
    schema, imports, secrets = schema_question(settings), ("imports",), ("secrets",)
    schedulers = ("schedulers", *settings.topology.known)
    said = ask((schema, imports, secrets, schedulers))
    head = said[schema] == "yes"
    yield _row("schema", head, "the release's" if head else f"not the release's ({said[schema]})")
    clean = said[imports] == "yes"
    yield _row("DAG files", clean, "all import" if clean else f"don't import: {said[imports]}")
    yield _row("stored secrets", *opened(said[secrets]))
    yield _row("no other scheduler", said[schedulers] == "none", said[schedulers])


def opened(said: str) -> tuple[bool, str]:
    """Return whether every stored secret opens, and the text of a row, from the probe's word."""
    count, _, closed = said.partition(": ")
    if not re.fullmatch(r"\d+ of \d+", count):
        return False, f"can't be checked ({said or 'not installed'})"
    return not closed, f"{count} open{f', not {closed}' if closed else ''}"


def _role(settings: Settings) -> Row:
    wanted = tuple(each.user for each in settings.databases)
    contents = look(PostgresqlContents, roles=wanted)
    if contents is None:
        return _row("database roles", False, "PostgreSQL does not answer")
    missing = [role for role in wanted if role not in contents.roles]
    super_ = [role for role in contents.roles if contents.roles[role]["rolsuper"]]
    if missing:
        return _row("database roles", False, f"missing: {', '.join(missing)}")
    right = not super_ or settings.postgresql_superuser
    return _row("database roles", right, f"superuser: {', '.join(super_)}" if super_ else "plain")


def _broker(settings: Settings) -> Iterator[Row]:
    definitions = look(RabbitmqDefinitions)
    have = look(RabbitmqQueues, vhost=settings.rabbitmq_vhost)
    if not definitions or have is None:
        yield _row("broker", False, "RabbitMQ does not answer")
        return
    users = [user["name"] for user in definitions["users"]]
    guest = "guest" in users and settings.rabbitmq_user != "guest"
    yield _row("broker users", not guest, ", ".join(users))
    idle = [
        each for each in rabbitmq.queues(settings) if each not in have or not have[each].consumers
    ]
    yield _row("queues", not idle, f"no consumer: {', '.join(idle)}" if idle else "all consumed")


@operation()
def canary_ran(settings: Settings) -> Commands:
    """Run the canary DAG, and check that each task ran on its worker."""
    if state.is_executing:
        words = ("run", settings.release.trigger, CANARY, str(_RUNS_WITHIN))
        ran = look(Canary, words=words)
        host.connector_data["airflow_canary"] = ran
        for worker in settings.topology.workers:
            status, where = ran.get("tasks", {}).get(worker, ["not run", ""])
            saw = f"{status} on {where}" if where else str(status)
            _rows().append(_row(f"task on {worker}", status == "success", saw))
    host.noop("a run of the canary changes no setting")
    yield from ()


@operation()
def logs_read(settings: Settings) -> Commands:
    """Read the log of each of the canary's tasks, as the web UI's reader does."""
    if state.is_executing:
        every = [each.connector_data for each in state.inventory]
        ran: dict[str, str] = next(
            (data["airflow_canary"] for data in every if "airflow_canary" in data), {}
        )
        workers = settings.topology.workers
        server = (settings.release.log_reader, api_url(settings), settings.airflow_admin_user)
        run = (CANARY, str(ran.get("run")), str(ran.get("date")))
        words = ("logs", *server, *run, *workers)
        stdin = StringIO(settings.secret("airflow_admin_password"))
        said = look(Canary, stdin, words=words)
        for worker in workers:
            text = said.get(worker, "the web UI does not answer")
            right = f"verified by {worker}" in text
            saw = "readable in the web UI" if right else f"not readable: {text[:200]}"
            _rows().append(_row(f"log from {worker}", right, saw))
    host.noop("reading changes nothing")
    yield from ()


@operation()
def told() -> Commands:
    """Print the table, once for all hosts, and fail where a row of this host is wrong.

    Secrets that a host had before are kept until everything is right.
    """
    kept = (each.connector_data.get("airflow_rows", ()) for each in state.inventory)
    everything = [row for rows in kept for row in rows]
    if state.is_executing and host.name == next(iter(state.inventory)).name:
        for line in table(everything):
            logger.info(line)
    wrong = [row for row in _rows() if row.right is False]
    if wrong:
        yield f"echo '{len(wrong)} of this host'\"'\"'s checks failed' >&2; false"
        return
    if host.connector_data.get(_FORMER) and all(row.right is not False for row in everything):
        # Not a change of the host: no plan could announce it.
        run_quietly(StringCommand("rm -f", FORMER))
    host.noop("every check holds")


def table(rows: Sequence[Row]) -> list[str]:
    """Write the rows as aligned lines, the wrong ones marked."""
    checks = max(len(row.check) for row in rows)
    hosts = max(len(row.host) for row in rows)
    marks = {True: "ok  ", False: "FAIL", None: "note"}
    return [
        f"    {marks[row.right]}  {row.check:{checks}}  {row.host:{hosts}}  {row.saw}"
        for row in rows
    ]
