"""Upgrade Airflow to another release, and roll back: all hosts or none.

``deploy_stack`` calls this if a host has another release than the inventory asks for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra import host, logger
from pyinfra.api import FactBase, Host, QuoteString, StringCommand, operation

from ..airflow.probe import ProbeAnswers, question
from ..airflow.services import healthy
from ..airflow.tools import tools
from ..airflow.units import every_unit, unit_name
from ..catalog import releases
from ..deploys import deploy
from ..host.connection import held
from ..host.files import place
from ..host.look import Look, expect, look
from ..host.machine import HostSystem, release_of
from ..host.steps import Commands, barrier
from ..host.units import NO_UNIT, Units, Watched
from ..run import any_failed, becoming, every_host, executing, memory, when_hosts_fail
from ..servers.postgresql import deploy_more_access
from ..settings import ENVIRONMENT, Settings, SettingsError
from .backup import backed_up
from .drain import deploy_drain
from .verify import deploy_verify

_PREVIOUS = f"{ENVIRONMENT}/bin/previous"
_UPGRADE = "airflow_upgrade"
"""Where a host's connector data has its part in an upgrade that has begun."""


@dataclass
class Part:
    """What a host has to do if the upgrade fails."""

    database: bool
    """Whether it puts the database back."""
    arguments: dict[str, Any]
    """How pyinfra becomes root there."""
    kept: bool = False
    """Whether it has kept what was there before."""


def release_before(settings: Settings) -> str | None:
    """Return the release that the host has, if it has to leave it; SettingsError without a way."""
    before = look(HostSystem).release
    if not settings.airflow_components or before in ("", settings.airflow_version):
        return None
    if sentence := releases.no_way(before, settings.airflow_version):
        raise SettingsError(
            f"airflow_version on {host.name}: {sentence} (tasks.deploy_rollback undoes an upgrade)"
        )
    return before


@deploy("Upgrade")
def deploy_leaving(settings: Settings, environment: str) -> None:
    """Stop the running release, once ``environment`` is ready, and save what a rollback needs.

    Any failure on any host from here on returns all hosts to it.
    """
    when_hosts_fail(_fail_together)
    place(tools(settings))
    keys_known(
        name="Look for airflow_config keys that the release does not know",
        environment=environment,
        keys=[[section, key] for section, keys in settings.airflow_config.items() for key in keys],
    )
    begun(name="Start the upgrade on all hosts or none", database=settings.topology.database_here)
    deploy_drain(settings)
    previous(name="Stop the services", step="stop")
    barrier(name="Wait until every host has stopped")
    kept(name="Save what a rollback needs", database=settings.topology.database_here)
    barrier(name="Wait until every host has saved it")


@deploy("Upgrade")
def deploy_stopped(settings: Settings) -> None:
    """Stop what runs here, before a database with an older schema is migrated."""
    units = tuple(Watched(unit, "/", ()) for unit in sorted(every_unit()))
    services_stopped(name="Stop the services", units=units)
    barrier(name="Wait until every host has stopped")


@deploy("Upgrade")
def deploy_arrived(settings: Settings) -> None:
    """Verify an upgrade and complete it: from here on it is no longer undone automatically."""
    deploy_verify(settings)
    ended(name="Finish the upgrade")


@deploy("Rollback")
def deploy_rollback(settings: Settings | None = None) -> None:
    """Undo the last upgrade by hand, on all hosts: environment, files, services and database.

    What the newer release has written into the database is lost; a backup of it is made first.
    SettingsError unless ``airflow_version`` is the release that ran before.
    """
    settings = Settings.of(host, settings)
    if settings.airflow_components:
        _check_way_back(settings.airflow_version)
    held(name="Lock the host for this run")
    if "postgresql" in settings.topology.components:
        deploy_more_access(settings)
    if not settings.airflow_components:
        return
    previous(name="Stop the services", step="stop")
    barrier(name="Wait until every host has stopped")
    # A rollback that was cut short has put the database back before any files.
    if settings.topology.database_here and look(HostSystem).release != settings.airflow_version:
        backed_up(name="Back up what will be replaced")
        previous(name="Restore the previous database", step="database")
    barrier(name="Wait for the database")
    back = previous(name="Restore the files and start the services", step="files")
    questions = {each: question(settings, each) for each in settings.airflow_components}
    expect([Look.of(ProbeAnswers, questions=tuple(questions.values()), within=0)])
    for component in host.loop(settings.release.components):
        if component in questions:
            healthy(
                name=f"Wait until the {component.description} works",
                component=component.description,
                unit=unit_name(component),
                question=questions[component],
                changed=[back],
            )


def _check_way_back(wanted: str) -> None:
    before = look(PreviousRelease)
    if before != wanted:
        raise SettingsError(
            f"{host.name} ran Airflow {before} before its last upgrade: set airflow_version to that"
            if before
            else f"{host.name} has nothing to roll back to: it was never upgraded"
        )


def _fail_together() -> set[Host]:
    """Make all hosts of an upgrade go back when one of them has failed, and return them."""
    taking_part = [each for each in every_host() if _UPGRADE in memory(each)]
    parts = {each: memory(each).pop(_UPGRADE) for each in taking_part}
    if parts:
        _go_back(parts)
    return set(parts)


def _go_back(parts: dict[Host, Part]) -> None:
    logger.error("The upgrade has failed: every host returns to the previous release")
    whole = all(part.kept for part in parts.values())
    for step in ("stop", "database", "files") if whole else ("start",):
        for each, part in parts.items():
            if step == "database" and not part.database:
                continue
            done, output = each.run_shell_command(StringCommand(_PREVIOUS, step), **part.arguments)
            if not done:
                logger.error(f"{each.name}: {_PREVIOUS} {step} has failed: {output.stderr}")
                return


@operation()
def keys_known(environment: str, keys: Sequence[Sequence[str]]) -> Commands:
    """Fail if the new release does not know a key that the inventory sets."""
    yield StringCommand(
        f"{ENVIRONMENT}/bin/as-airflow", QuoteString(f"{environment}/bin/python"),
        f"{ENVIRONMENT}/lib/airflow_keys.py", _stdin=json.dumps(keys),
    )  # fmt: skip


@operation()
def begun(database: bool) -> Commands:
    """Fail if another host has failed; otherwise take part in the rollback when one does."""
    if any_failed():
        yield "echo 'another host has failed, so nothing is stopped here' >&2; false"
        return
    if executing():
        memory()[_UPGRADE] = Part(database, becoming())
    host.noop("every host is ready")


@operation()
def services_stopped(units: tuple[Watched, ...]) -> Commands:
    """Stop those of the units that are running."""
    have = look(Units, watched=units)
    running = [each.unit for each in units if have.get(each.unit, NO_UNIT).active]
    if not running:
        host.noop("no service runs")
        return
    yield f"systemctl stop {' '.join(running)}"


@operation()
def previous(step: str) -> Commands:
    """Take a step of a rollback, or of its preparation."""
    yield f"{_PREVIOUS} {step}"


@operation()
def kept(database: bool) -> Commands:
    """Keep the files of this host, and a backup made by one of all."""
    yield f"{_PREVIOUS} save {'database' if database else ''}"
    if executing():
        memory()[_UPGRADE].kept = True


@operation()
def ended() -> Commands:
    """Finish the upgrade, so that later failures no longer undo it."""
    if executing():
        memory().pop(_UPGRADE, None)
    host.noop("the upgrade is finished")
    yield from ()


class PreviousRelease(FactBase[str]):
    """The release that an upgrade has left, and that can be gone back to; empty without any."""

    default = str

    def command(self) -> str:
        return f"cat {ENVIRONMENT}/previous/link 2>/dev/null || true"

    def process(self, output: list[str]) -> str:
        return release_of(output)
