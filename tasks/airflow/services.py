"""Airflow's components as systemd services, and whether they work."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from ..before.guard import guard_alone
from ..catalog.model import Component
from ..catalog.releases import HEALTH
from ..deploys import deploy
from ..host.files import File, file
from ..host.found import Paths
from ..host.look import Look, expect
from ..host.machine import of_this_host
from ..host.steps import Commands, can_not_be_asked, will_have_changed
from ..host.units import Units, Watched, running, units_absent
from ..resources import template
from ..run import executing
from ..settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings, budget
from . import housekeeping, reports, repository
from .configuration import configuration, webserver_config_path
from .helpers import helper
from .probe import ProbeAnswers, Question, ask, question
from .python import CURRENT
from .tools import IMPORTED, files, library_files
from .units import every_unit, stamp, unit_name, unit_path

ENVIRONMENT_FILES = (CURRENT, f"{CURRENT}/.complete")
_SUMMARY = ("airflow_health.py", "airflow_probe.py")
"""Those that the health summary is made of."""
_WORKS_WITHIN = 180
"""Seconds that a component has after its start, also on a small and busy host."""
_RETURN_WITHIN = 90
"""Seconds in which one comes back by itself: a worker tries its broker every half a minute."""


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_airflow` and `deploy_services` ask, the probe's apart."""
    here = settings.airflow_components
    yield Look.of(Paths, paths=(*files(settings), *map(unit_path, here)))
    watched = (*_all_watched(settings).values(), *_elsewhere(here), repository.WATCHED)
    yield Look.of(Units, watched=watched)


@deploy("Services")
def deploy_services(
    settings: Settings | None = None, *, changed: Iterable[OperationMeta] = ()
) -> None:
    """Run the host's components of Airflow under systemd, and wait until they work.

    Those that no longer belong on the host are removed, even if none is left.
    ``changed`` are steps after which the processes have to be restarted.
    """
    settings = of_this_host(settings)
    guard_alone(settings)
    here = settings.airflow_components
    units = {unit_path(component): File(unit_text(settings, component)) for component in here}
    read = [_read(settings, component) for component in here]
    texts = {path: file.text for each in (units, *read) for path, file in each.items()}
    watched = _all_watched(settings)
    questions = {component: question(settings, component) for component in here}
    expect([Look.of(ProbeAnswers, questions=tuple(questions.values()), within=0)])
    if not (settings.airflow_dags_repository and settings.reads_dags):
        repository.clone_absent(name="Remove the clone of the DAGs", link=settings.dags_link)
    units_absent(name="Remove services that run elsewhere", units=_elsewhere(here))
    # Every host loops over all of them: pyinfra tells the steps of a loop apart by their number.
    for component in host.loop((*settings.release.components, HEALTH)):
        if component not in here:
            continue
        path = unit_path(component)
        file(name=f"Write {path}", path=path, wanted=units[path])
        started = running(
            name=f"Run {watched[component].unit}",
            watched=watched[component],
            texts=texts,
            changed=changed,
        )
        healthy(
            name=f"Wait until the {component.description} works",
            component=component.description,
            unit=watched[component].unit,
            question=questions[component],
            changed=[started],
        )
    if here:
        reports.drop_ins(settings)


def _all_watched(settings: Settings) -> dict[Component, Watched]:
    # Airflow reads plugins at the start of a process.
    plugins = [f"{settings.airflow_home}/plugins.delivered"] if settings.airflow_plugins else []
    return {
        component: _watched(component, (*_read(settings, component), *plugins))
        for component in settings.airflow_components
    }


def _elsewhere(here: Iterable[Component]) -> tuple[Watched, ...]:
    """Return our units that this host no longer needs."""
    units = {unit_name(component) for component in here}
    gone = every_unit() - units if units else every_unit().union(housekeeping.UNITS)
    return tuple(Watched(unit, "/", ()) for unit in sorted(gone))


def _watched(component: Component, read: Iterable[str]) -> Watched:
    path = unit_path(component)
    return Watched(unit_name(component), stamp(component), (path, *read, *ENVIRONMENT_FILES))


def _read(settings: Settings, component: Component) -> dict[str, File]:
    """Return the files of ours that a component reads."""
    files = {**library_files((*IMPORTED, *settings.release.helpers)), **configuration(settings)}
    if component is HEALTH:
        files.update(library_files(_SUMMARY))
    if component != settings.release.web:
        files.pop(webserver_config_path(settings), None)
    return files


def unit_text(settings: Settings, component: Component) -> str:
    """Return the systemd unit of a component."""
    beside_web = component.command_beside_web if settings.topology.web_here else None
    command = beside_web or component.command
    high, most = budget.limits(settings, component)
    return template(
        "airflow.service",
        settings=settings,
        memory_high=high,
        memory_max=most,
        component=component,
        command=command.format(
            concurrency=settings.airflow_worker_concurrency,
            queues=",".join(settings.queues),
            lib=f"{ENVIRONMENT}/lib",
            health=_health(settings) if component is HEALTH else "",
        ),
        configuration=CONFIGURATION,
        environment=ENVIRONMENT,
        logs=LOGS,
    )


def _health(settings: Settings) -> str:
    """Return the arguments of the health summary: address, port, and what to ask of the others."""
    others = [each for each in settings.airflow_components if each is not HEALTH]
    checks = [[each.name, *question(settings, each)] for each in others]
    where = f"{settings.airflow_web_host} {settings.airflow_health_port}"
    return " ".join([where, *(f"'{json.dumps(check)}'" for check in checks)])


@operation()
def healthy(
    component: str,
    unit: str,
    question: Question,
    *,
    changed: Iterable[OperationMeta],
) -> Commands:
    """Wait until a component works, and fail when it does not in time.

    One that nothing has touched may be on its way back by itself, from a crash or to a server that
    was down, and waiting for it is no change. One that stays away is restarted: a scheduler of
    Airflow 1.8 whose database was gone may hang for ever.
    """
    if not will_have_changed(changed):
        answer = ask((question,))[question]
        if answer != "yes" and executing():
            answer = ask((question,), within=_RETURN_WITHIN)[question]
        if answer == "yes" or can_not_be_asked(answer):
            host.noop(f"the {component} works")
            return
        yield f"systemctl restart {unit}"
    yield StringCommand(
        helper("airflow_probe.py"), str(_WORKS_WITHIN), QuoteString(json.dumps(question))
    )
