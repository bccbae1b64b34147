"""Prove that what is deployed works, and report it in a table with a row for each check.

Nothing is changed except for one run of the DAG with a task for each worker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from pyinfra import host, logger
from pyinfra.api import FactBase, QuoteString, StringCommand, operation

from ..addresses import EVERYWHERE
from ..airflow.airflow_cfg import api_url
from ..airflow.configuration import configuration
from ..airflow.helpers import helper
from ..airflow.probe import ask, question, schema_question
from ..airflow.tools import CANARY
from ..catalog import servers
from ..deploys import deploy
from ..host.found import Paths, digest
from ..host.look import Beyond, look
from ..host.machine import HostSystem, of_this_host
from ..host.rows import Row, row
from ..host.steps import Commands, barrier, run_quietly
from ..host.system import CLOCK_WITHIN
from ..run import every_host, executing, memory
from ..servers import monitoring
from ..servers.firewall import FirewallTable
from ..servers.offers import checks
from ..settings import FORMER, Settings
from ..settings.endpoints import endpoints

_RUNS_WITHIN = 60
"""Seconds that the canary's run has, and before it the scheduler to find its DAG."""
_OURS = {"airflow", "epmd", *(each.user for each in servers.EVERY if each.user)}
"""Users of the host whose sockets are looked at."""
_FORMER = "airflow_former"
"""What a host's connector data has where secrets from before are kept."""
_EVERYWHERE = {*EVERYWHERE, "*", "[::]"}
"""The same as ss and PostgreSQL write them."""


@deploy("Verify")
def deploy_verify(settings: Settings | None = None) -> None:
    """Check every component, and run a task on each worker; the run fails if a row is wrong."""
    settings = of_this_host(settings)
    examined(name="Check every component", settings=settings)
    barrier(name="Wait for every host's checks")
    if settings.topology.database_here:
        canary_ran(name="Run a task on each worker", settings=settings)
    barrier(name="Wait for the tasks")
    if settings.release.web in settings.airflow_components:
        logs_read(name="Read the tasks' logs as the web UI does", settings=settings)
    barrier(name="Wait for the logs")
    told(name="Report the results")


def _rows() -> list[Row]:
    """Return the rows of this host, to add to."""
    rows: list[Row] = memory().setdefault("airflow_rows", [])
    return rows


@operation()
def examined(settings: Settings) -> Commands:
    """Check what this host has, without changing anything."""
    if executing():
        _rows().extend(_examine(settings))
    host.noop("checking changes nothing")
    yield from ()


def _examine(settings: Settings) -> Iterator[Row]:
    yield _clock(look(HostSystem).ahead)
    yield from _network(settings)
    if settings.airflow_components:
        yield from _components(settings)
        yield _configured(settings)
    if settings.topology.database_here:
        yield from _metadata(settings)
    yield from monitoring.checks(settings)
    yield from checks(settings)
    if settings.firewall:
        table = look(FirewallTable)
        yield row("firewall", table == "loaded", table or "not loaded")


def _clock(ahead: float) -> Row:
    return row("clock", abs(ahead) <= CLOCK_WITHIN, f"{ahead:+.0f} s from this machine's")


def _network(settings: Settings) -> Iterator[Row]:
    """Check that names resolve, that what is needed answers, and that nothing else is open."""
    pairs = (line.split() for line in settings.topology.names)
    wanted = {name: address for address, name in pairs}
    reach = look(NetworkReach, names=tuple(wanted), ports=needed(settings))
    astray = [name for name, address in wanted.items() if reach.resolved.get(name) != address]
    yield row(
        "names of the hosts", not astray, f"wrong address: {', '.join(astray)}" if astray else "ok"
    )
    closed = ", ".join(reach.closed)
    yield row("servers in reach", not closed, f"no answer from {closed}" if closed else "ok")
    open_ = strangers(settings, reach)
    yield row("open ports", not open_, f"unexpected: {', '.join(open_)}" if open_ else "ok")


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
    if servers.PROXY.group not in topology.components:
        web = web[:1] if calls_api and release.web not in settings.airflow_components else []
    return (*found, *(f"{address} {settings.airflow_web_port}" for address in web))


@dataclass(frozen=True)
class Reach:
    """What a host sees of the others, and what it lets them see."""

    resolved: Mapping[str, str]
    """Name -> address, without those that do not resolve."""
    closed: tuple[str, ...]
    """Those of the wanted ``HOST PORT`` that don't answer."""
    listening: tuple[tuple[str, str, int], ...]
    """User, address and port of every TCP socket that other hosts could reach."""


def strangers(settings: Settings, reach: Reach) -> list[str]:
    """List the sockets of ours that listen where the settings do not say so."""
    asked = ports(settings)
    return [
        f"{address}:{port} of {user}"
        for user, address, port in reach.listening
        if user in _OURS and not (port in asked and (asked[port] or address not in _EVERYWHERE))
    ]


def ports(settings: Settings) -> dict[int, bool]:
    """Return the ports at which others may reach this host, and whether at any address."""
    tcp = [each for each in endpoints(settings) if each.protocol == "tcp"]
    return {
        each.port: not _EVERYWHERE.isdisjoint(each.open_to_others)
        for each in tcp
        if each.open_to_others
    }


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
        yield row(component.description, right, saw)
    for each in files:
        yield _without_file(said[each])


def _without_file(said: str) -> Row:
    """Note the names: a DAG that has just been taken away stays active for minutes, or for ever."""
    right = True if said == "none" else False if said in ("", "unknown") else None
    return row("DAGs without a file", right, said or "not installed")


def _configured(settings: Settings) -> Row:
    """Compare the files with the inventory's: so every host has the same secrets."""
    files = configuration(settings)
    have = look(Paths, paths=(*files, FORMER))
    memory()[_FORMER] = FORMER in have
    other = [
        Path(path).name
        for path, file in files.items()
        if path not in have
        or (have[path].sha256, have[path].mode) != (digest(file.text), file.mode)
    ]
    saw = f"not the inventory's: {', '.join(other)}" if other else "the inventory's"
    return row("configuration and secrets", not other, saw)


def _metadata(settings: Settings) -> Iterator[Row]:
    schema, imports, secrets = schema_question(settings), ("imports",), ("secrets",)
    schedulers = ("schedulers", *settings.topology.known)
    said = ask((schema, imports, secrets, schedulers))
    head = said[schema] == "yes"
    yield row("schema", head, "the release's" if head else f"not the release's ({said[schema]})")
    clean = said[imports] == "yes"
    yield row("DAG files", clean, "all import" if clean else f"don't import: {said[imports]}")
    yield row("stored secrets", *opened(said[secrets]))
    yield row("no other scheduler", said[schedulers] == "none", said[schedulers])


def opened(said: str) -> tuple[bool, str]:
    """Return whether every stored secret opens, and the text of a row, from the probe's word."""
    count, _, closed = said.partition(": ")
    if not re.fullmatch(r"\d+ of \d+", count):
        return False, f"can't be checked ({said or 'not installed'})"
    return not closed, f"{count} open{f', not {closed}' if closed else ''}"


@operation()
def canary_ran(settings: Settings) -> Commands:
    """Run the canary DAG, and check that each task ran on its worker."""
    if executing():
        words = ("run", settings.release.trigger, CANARY, str(_RUNS_WITHIN))
        ran = look(Canary, words=words)
        memory()["airflow_canary"] = ran
        for worker in settings.topology.workers:
            status, where = ran.get("tasks", {}).get(worker, ["not run", ""])
            saw = f"{status} on {where}" if where else str(status)
            _rows().append(row(f"task on {worker}", status == "success", saw))
    host.noop("a run of the canary changes no setting")
    yield from ()


@operation()
def logs_read(settings: Settings) -> Commands:
    """Read the log of each of the canary's tasks, as the web UI's reader does."""
    if executing():
        every = [memory(each) for each in every_host()]
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
            _rows().append(row(f"log from {worker}", right, saw))
    host.noop("reading changes nothing")
    yield from ()


@operation()
def told() -> Commands:
    """Print the table, once for all hosts, and fail where a row of this host is wrong.

    Secrets that a host had before are kept until everything is right.
    """
    kept = (memory(each).get("airflow_rows", ()) for each in every_host())
    everything = [each for rows in kept for each in rows]
    if executing() and host.name == next(iter(every_host())).name:
        for line in table(everything):
            logger.info(line)
    wrong = [each for each in _rows() if each.right is False]
    if wrong:
        yield f"echo '{len(wrong)} of this host'\"'\"'s checks failed' >&2; false"
        return
    if memory().get(_FORMER) and all(each.right is not False for each in everything):
        # Not a change of the host: no plan could announce it.
        run_quietly(StringCommand("rm -f", FORMER))
    host.noop("every check passes")


def table(rows: Sequence[Row]) -> list[str]:
    """Return the rows as aligned lines, with the wrong ones marked."""
    wide = max(len(each.check) for each in rows)
    hosts = max(len(each.host) for each in rows)
    marks = {True: "ok  ", False: "FAIL", None: "note"}
    return [
        f"    {marks[each.right]}  {each.check:{wide}}  {each.host:{hosts}}  {each.saw}"
        for each in rows
    ]


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
