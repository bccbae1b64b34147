"""Findings about the metadata database. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..catalog import schemas
from ..catalog.distributions import POSTGRESQL
from ..settings import Settings
from .stored import Job, Stored
from .survey import KEY, Seen, Site
from .words import ADOPT, listed


def of_database(name: str, site: Site, sites: Mapping[str, Site], replacing: bool) -> Iterator[str]:
    """Yield what forbids the use of the metadata database."""
    settings, seen = site.settings, site.seen
    where = f"the database {settings.postgresql_database} of {name}"
    used = any(_uses(other.seen, settings) for other in sites.values())
    ours = used or seen.cluster == "ours"
    if seen.unknown and "postgresql" in settings.foreign and not ours:
        yield (
            f"{where} can't be asked for its contents ({seen.unknown}): make it reachable from"
            f" {name}, or install postgresql-client there if SSH forwarding is not allowed"
        )
    if seen.stored is None:
        return
    if not _newer_than_the_table(settings, sites):
        yield from _unusable(where, settings, seen.stored)
    yield from _other_scheduler(where, sites, seen)
    yield from _no_backup(sites, seen.stored)
    proven = ours or (seen.stored.secrets and not seen.stored.locked(settings.secret(KEY)))
    consent = replacing or settings.airflow_adopt or seen.processes
    if seen.stored.used and not proven and not consent:
        yield (
            f"{where} is used by an Airflow that this package did not set up ({seen.stored}): set"
            f" postgresql_database to another, or {ADOPT}; it is backed up before its schema"
            " changes"
        )


def _uses(seen: Seen, settings: Settings) -> bool:
    """Return whether a host's Airflow of ours has used the wanted database before."""
    if "database" in seen.marked:
        return seen.marked["database"] == database(settings)
    return bool(seen.current)


def database(settings: Settings) -> str:
    """Name the metadata database, as a host's mark does."""
    server = settings.topology.database or settings.postgresql_host
    return f"{server}:{settings.postgresql_port}/{settings.postgresql_database}"


def _newer_than_the_table(settings: Settings, sites: Mapping[str, Site]) -> bool:
    """Return whether a release runs already whose migrations the table can't know yet."""
    runs = settings.airflow_version in (site.seen.current for site in sites.values())
    return runs and not schemas.has(settings.airflow_version)


def _unusable(where: str, settings: Settings, stored: Stored) -> Iterator[str]:
    if stored.tables and not stored.airflow:
        yield (
            f"{where} has {stored.tables} tables, and none of Airflow's: set postgresql_database to"
            " another"
        )
    elif sentence := stored.no_way(settings.airflow_version):
        newer = stored.age(settings.airflow_version) == "newer"
        back = " (tasks.deploy_rollback undoes an upgrade)" if newer else ""
        yield f"{where} has the schema of {stored.schema}: {sentence}{back}"


def _other_scheduler(where: str, sites: Mapping[str, Site], seen: Seen) -> Iterator[str]:
    known = [(*site.seen.names, *site.settings.topology.known) for site in sites.values()]
    names = {name for each in known for name in each}
    deployed = any(site.seen.ours for site in sites.values())
    jobs = seen.stored.jobs if seen.stored else ()
    others = [job for job in jobs if not (deployed and _is_ours(job, names))]
    if others and not seen.processes:
        yield (
            f"{where} is in use by another Airflow ({listed(map(str, others))}): stop it, or set"
            " postgresql_database to another; one that has just stopped counts for another minute"
        )


def _is_ours(job: Job, names: Iterable[str]) -> bool:
    short = {name.partition(".")[0] for name in names if not name[:1].isdigit()}
    known = job.host in names or job.host.partition(".")[0] in short
    return known and job.user == "airflow"


def _no_backup(sites: Mapping[str, Site], stored: Stored) -> Iterator[str]:
    """Refuse a migration before which no backup could be made."""
    for name, site in sites.items():
        settings, seen = site.settings, site.seen
        if not (settings.airflow_components and settings.topology.database_here):
            continue
        client = seen.client or POSTGRESQL.get(seen.distribution, 0)
        if stored.older(settings.airflow_version) and 0 < client < stored.server:
            yield (
                f"{name} has the client of PostgreSQL {client}, which can't back up a server of"
                f" version {stored.server} before its schema changes: install"
                f" postgresql-client-{stored.server} there"
            )
