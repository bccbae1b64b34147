"""Metrics for Prometheus: those of Airflow, of PostgreSQL and of RabbitMQ.

Each exporter is on the host of what it is about, but for Airflow's: StatsD on one host takes the
metrics of all. They have no authentication, so they listen on loopback until the Prometheus
servers are named, and the firewall admits only those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from ..addresses import bracketed
from ..catalog.servers import (
    EXPORTERS,
    POSTGRESQL_EXPORTER,
    RABBITMQ_EXPORTER,
    STATSD_EXPORTER,
    Server,
)
from ..deploys import deploy
from ..host.files import File, place
from ..host.found import Paths
from ..host.look import Beyond, Look, Wide, expect, in_places, look
from ..host.machine import HostSystem, of_this_host
from ..host.packages import AptPackages, debs_here, packages
from ..host.rows import Row, row
from ..host.steps import Commands, can_not_be_asked, will_have_changed
from ..host.system import UserAccount, account
from ..host.units import Units, Watched, running, units_absent
from ..resources import template
from ..run import executing
from ..settings import Settings
from ..settings.accounts import METRICS, METRICS_HOME
from ..settings.exporters import address, here, ports

STATSD = "/etc/airflow-collectd.conf"
_WORKS_WITHIN = 60
"""Seconds that an exporter has after its start."""
_RETURN_WITHIN = 30

_SIGNS = {
    STATSD_EXPORTER: "# collectd/write_prometheus",
    POSTGRESQL_EXPORTER: "pg_up 1",
    RABBITMQ_EXPORTER: "rabbitmq_build_info",
}
"""How a line of an exporter's begins once all is well."""
UNITS = tuple(exporter.unit for exporter in EXPORTERS if exporter.packages)


@deploy("Monitoring")
def deploy_monitoring(
    settings: Settings | None = None, *, broker: Iterable[OperationMeta] = ()
) -> None:
    """Run the exporters that the inventory gives this host, and wait until they have metrics.

    That of PostgreSQL needs ``deploy_postgresql``, and that of RabbitMQ ``deploy_rabbitmq``, whose
    steps that have started the ``broker`` are followed.
    """
    settings = of_this_host(settings)
    wanted = here(settings)
    own = [exporter for exporter in wanted if exporter.packages]
    absent(name="Remove exporters that run elsewhere", wanted=[each.unit for each in own])
    if own:
        account(
            name=f"Create the user {METRICS}",
            user=METRICS,
            home=METRICS_HOME,
            shell="/usr/sbin/nologin",
        )
        place({path: File(text) for path, text in texts(settings).items()})
    scrapes = {exporter: scrape(settings, exporter) for exporter in wanted}
    expect([Look.of(Scrapes, scrapes=tuple(scrapes.values()), within=0)])
    for exporter in host.loop(EXPORTERS):
        if exporter not in wanted:
            continue
        changed = list(broker)
        if exporter in own:
            program(
                name=f"Install {exporter.packages[0]}",
                exporter=exporter,
                debs=debs_here(settings),
            )
            ran = running(
                name=f"Run {exporter.unit}",
                watched=_watched(exporter),
                texts=texts(settings),
            )
            changed = [ran]
        scraped(
            name=f"Wait for the {exporter.name}",
            exporter=exporter,
            scrape=scrapes[exporter],
            changed=changed,
        )


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_monitoring` ask."""
    own = [exporter for exporter in here(settings) if exporter.packages]
    if own:
        yield Look.of(UserAccount, user=METRICS)
        yield Look.of(AptPackages, packages=tuple(exporter.packages[0] for exporter in own))
        yield Look.of(Paths, paths=tuple(texts(settings)))
        yield Look.of(Units, watched=tuple(map(_watched, own)))


class Scrape(NamedTuple):
    """Metrics to look at."""

    address: str
    port: int
    sign: str
    """How one of their lines begins once all is well."""
    takes: int = 0
    """The UDP port that has to be open too, if any."""


def scrape(settings: Settings, exporter: Server) -> Scrape:
    """Return how this host checks the metrics of an exporter."""
    takes = settings.monitoring_statsd_port if exporter is STATSD_EXPORTER else 0
    return Scrape(address(settings), ports(settings)[exporter], _SIGNS[exporter], takes)


def said(scrapes: tuple[Scrape, ...], *, within: int = 0) -> dict[Scrape, str]:
    """Look at metrics: what to look at -> yes, no when nothing answers, or unknown."""
    words = look(Scrapes, scrapes=scrapes, within=within)
    return {each: words[number] for number, each in enumerate(scrapes)}


def texts(settings: Settings) -> dict[str, str]:
    """Return the exporters' files: path -> text."""
    listen = address(settings)
    here_ports = ports(settings)
    found = {}
    if STATSD_EXPORTER in here_ports:
        found[STATSD] = template(
            "airflow-collectd.conf", settings=settings, address=listen, exporter=STATSD_EXPORTER
        )
        found[_path(STATSD_EXPORTER)] = _unit(STATSD_EXPORTER, f"/usr/sbin/collectd -f -C {STATSD}")
    if POSTGRESQL_EXPORTER in here_ports:
        found[_path(POSTGRESQL_EXPORTER)] = _unit(
            POSTGRESQL_EXPORTER,
            "/usr/bin/prometheus-postgres-exporter"
            f" --web.listen-address={bracketed(listen)}:{here_ports[POSTGRESQL_EXPORTER]}",
            DATA_SOURCE_NAME=f"host=/run/postgresql port={settings.postgresql_port}"
            f" user={METRICS} dbname=postgres sslmode=disable",
        )
    return found


def _unit(exporter: Server, command: str, **environment: str) -> str:
    return template(
        "airflow-exporter.service",
        exporter=exporter,
        command=command,
        environment=environment,
        user=METRICS,
    )


def _path(exporter: Server) -> str:
    return f"/etc/systemd/system/{exporter.unit}"


def _watched(exporter: Server) -> Watched:
    configuration = (STATSD,) if exporter is STATSD_EXPORTER else ()
    reads = (_path(exporter), *configuration)
    return Watched(exporter.unit, f"/run/{exporter.stem}/started", reads)


@operation()
def absent(wanted: Sequence[str]) -> Commands:
    """Stop and remove exporters of ours that are not ``wanted``."""
    left = tuple(Watched(u, "/", ()) for u in look(HostSystem).exporters if u not in wanted)
    if not left:
        host.noop("there is no exporter to remove")
        return
    yield from units_absent._inner(units=left)


@operation()
def program(exporter: Server, debs: Path | None) -> Commands:
    """Install an exporter's program, whose own service stays off.

    Where the package is there already, its service is somebody's, and is left alone. ``debs`` is
    the folder of a bundle.
    """
    name, *needed = exporter.packages
    if name in look(AptPackages, packages=(name,)).installed:
        host.noop(f"{name} is installed")
        return
    yield from packages._inner(packages=[*needed, name], debs=debs, masked=exporter.masked)


@operation()
def scraped(
    exporter: Server,
    scrape: Scrape,
    *,
    changed: Iterable[OperationMeta],
) -> Commands:
    """Wait until an exporter has metrics, and fail when it has none in time.

    One that stays away is restarted.
    """
    if not will_have_changed(changed):
        answer = said((scrape,))[scrape]
        if answer != "yes" and executing():
            answer = said((scrape,), within=_RETURN_WITHIN)[scrape]
        if answer == "yes" or can_not_be_asked(answer):
            host.noop(f"the {exporter.name} are there")
            return
        yield f"systemctl restart {exporter.unit}"
    where = f"{scrape.address}:{scrape.port}"
    yield StringCommand(
        'word=$(', scraping(scrape, _WORKS_WITHIN), '); test "$word" = yes ||',
        f"{{ echo 'no {exporter.name} at {where}' >&2; false; }}",
    )  # fmt: skip


def checks(settings: Settings) -> Iterator[Row]:
    """Look at the metrics."""
    scrapes = {each: scrape(settings, each) for each in here(settings)}
    words = said(tuple(scrapes.values())) if scrapes else {}
    for exporter, wanted in scrapes.items():
        right = words[wanted] == "yes"
        where = f"{wanted.address}:{wanted.port}"
        yield row(
            exporter.name, right, f"at {where}" if right else f"none at {where} ({words[wanted]})"
        )


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
