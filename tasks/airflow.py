"""Airflow on a host: its configuration, commands, schema and login, and its services."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from io import StringIO

from pyinfra import host, state
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from . import airflow_cfg, budget, housekeeping, reports, repository
from .addresses import reachable
from .deploys import deploy
from .facts import MARK, PROXY_SITE, Paths, ProbeAnswers, Question, Units, Watched, helper
from .guard import guard_alone
from .look import Look, expect, foresee, look
from .operations import (
    Commands,
    File,
    can_not_be_asked,
    file,
    place,
    running,
    told,
    units_absent,
    will_have_changed,
)
from .python import CURRENT
from .releases import HEALTH, RELEASES, Component
from .resources import helper_file, helper_names, template
from .settings import BACKUPS, CONFIGURATION, ENVIRONMENT, FORMER, LOGS, Settings
from .stored import Stored
from .system import of_this_host

ENVIRONMENT_FILES = (CURRENT, f"{CURRENT}/.complete")
IMPORTED = helper_names("imported")
"""Files that Airflow's processes may import, by airflow.cfg."""
CALLED = helper_names("called")
"""Those that are called by their names, and what they alone import."""
_DATABASES = "airflow_sql.py"
"""What both kinds open databases with."""
_SUMMARY = ("airflow_health.py", "airflow_probe.py")
"""Those that the health summary is made of."""
CANARY = "verify_workers"
"""The DAG with a task for each worker."""
# The mistake and its line, but not the text there, which may hold a secret.
_COMPILES = (
    f"{CURRENT}/bin/python -c 'import sys; sys.excepthook = lambda kind, error, trace:"
    ' print("airflow_webserver_config: %s" % error, file=sys.stderr);'
    """ compile(open(sys.argv[1], "rb").read(), "webserver_config.py", "exec")'"""
)
_REVISIONS = ("revisions",)
_WORKS_WITHIN = 180
"""Seconds that a component has after its start, also on a small and busy host."""
_RETURN_WITHIN = 90
"""Seconds in which one comes back by itself: a worker tries its broker every half a minute."""


@deploy("Airflow")
def deploy_airflow(settings: Settings | None = None) -> None:
    """Configure Airflow on a host and give administrators the ``airflow`` command."""
    settings = of_this_host(settings)
    guard_alone(settings)
    place(files(settings))


def files(settings: Settings) -> dict[str, File]:
    """Return what `deploy_airflow` writes."""
    release = settings.release
    library = _library((release.login_script, *IMPORTED, *release.helpers))
    own = {**tools(settings), **_canary(settings), **reports.reporter(settings)}
    return {**library, **own, **configuration(settings)}


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_airflow` and `deploy_services` ask, the probe's apart."""
    here = settings.airflow_components
    yield Look.of(Paths, paths=(*files(settings), *map(unit_path, here)))
    watched = (*_all_watched(settings).values(), *_elsewhere(here), repository.WATCHED)
    yield Look.of(Units, watched=watched)


@deploy("Database")
def deploy_database(
    settings: Settings | None = None,
    *,
    stored: Stored | None = None,
    empty: bool = False,
    kept: bool = False,
) -> None:
    """Create the schema and the administrator's login, from one host for all.

    ``stored`` is what the database holds, as far as that is known; it may be known to be ``empty``.
    One of an older release is backed up before it is migrated, unless the backup is ``kept``
    already, and put back when that fails.
    """
    settings = Settings.of(host, settings)
    guard_alone(settings)
    release = settings.release
    user, email = settings.airflow_admin_user, settings.airflow_admin_email
    questions = (schema_question(settings), ("login", user, email))
    password = settings.secret("airflow_admin_password")
    schema(
        name=_schema_step(settings, stored),
        version=release.version,
        commands=(release.create_schema, release.upgrade_schema),
        questions=questions,
        password=password,
        empty=empty,
        kept=kept,
    )
    have = ["none"] * 2 if empty else ask(questions, stdin=password, by=foresee).values()
    login(
        name=f"{_login_verb(*have)} the login {user}",
        script=release.login_script,
        questions=questions,
        password=password,
        empty=empty,
    )


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


def unit_name(component: Component) -> str:
    """Return the name of a component's unit."""
    return f"airflow-{component.name}.service"


def unit_path(component: Component) -> str:
    """Return the file of a component's unit."""
    return f"/etc/systemd/system/{unit_name(component)}"


def _elsewhere(here: Iterable[Component]) -> tuple[Watched, ...]:
    """Return our units that this host no longer needs."""
    units = {unit_name(component) for component in here}
    gone = every_unit() - units if units else every_unit().union(housekeeping.UNITS)
    return tuple(Watched(unit, "/", ()) for unit in sorted(gone))


def every_unit() -> set[str]:
    """Return the units of all releases' components."""
    every = {component for release in RELEASES for component in release.components}
    return {unit_name(component) for component in (*every, HEALTH)}


def _watched(component: Component, read: Iterable[str]) -> Watched:
    path = unit_path(component)
    return Watched(unit_name(component), _stamp(component), (path, *read, *ENVIRONMENT_FILES))


def _read(settings: Settings, component: Component) -> dict[str, File]:
    """Return the files of ours that a component reads."""
    files = {**_library((*IMPORTED, *settings.release.helpers)), **configuration(settings)}
    if component is HEALTH:
        files.update(_library(_SUMMARY))
    if component != settings.release.web:
        files.pop(_webserver_config_path(settings), None)
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


def _library(names: Iterable[str]) -> dict[str, File]:
    """Return files of ``files/host`` as they are on a host."""
    return {f"{ENVIRONMENT}/lib/{name}": File(helper_file(name).read_text()) for name in names}


def tools(settings: Settings) -> dict[str, File]:
    """Return the commands of administrators and of this package, which fit every release."""
    folders = {"configuration": CONFIGURATION, "environment": ENVIRONMENT, "folder": BACKUPS}
    everybody = {
        f"{ENVIRONMENT}/bin/as-airflow": template("as-airflow", **folders),
        "/usr/local/bin/airflow": template("airflow", **folders),
    }
    given = {"settings": settings, "site": PROXY_SITE, "units": sorted(every_unit()), **folders}
    roots = {
        f"{ENVIRONMENT}/bin/{name}": template(name, **given) for name in ("backup", "previous")
    }
    return {
        **_library((_DATABASES, *CALLED)),
        **{path: File(text, mode="755") for path, text in everybody.items()},
        **{path: File(text, mode="700") for path, text in roots.items()},
    }


def _canary(settings: Settings) -> dict[str, File]:
    """Return the DAG that has a task for each worker."""
    text = template("verify_workers.py", workers=settings.topology.workers)
    path = f"{settings.airflow_home}/dags/{CANARY}.py"
    return {path: File(text, group="airflow", mode="640")}


def configuration(settings: Settings) -> dict[str, File]:
    """Return Airflow's configuration: path -> file."""
    environment = airflow_cfg.environment_file(airflow_cfg.environment(settings))
    secret = airflow_cfg.secret_environment(settings)
    secrets = airflow_cfg.environment_file(secret)
    cfg = airflow_cfg.render(settings)
    authorities = {
        settings.ca_path(name): File(server.ca.read_text())
        for name, server in settings.servers.items()
        if server.ca
    }
    return {
        **authorities,
        f"{settings.airflow_home}/airflow.cfg": File(
            cfg,
            group="airflow",
            mode="640",
            masks=tuple(secret.values()),
            private=airflow_cfg.private,
        ),
        f"{CONFIGURATION}/airflow.env": File(environment, group="airflow", mode="640"),
        f"{CONFIGURATION}/secrets.env": File(
            secrets, group="airflow", mode="640", secret=True, former=FORMER
        ),
        **_webserver_config(settings),
    }


def _webserver_config(settings: Settings) -> dict[str, File]:
    """Return the user's webserver_config.py, for the web UI and for the commands about logins."""
    source, topology = settings.airflow_webserver_config, settings.topology
    web = settings.release.web.name in topology.components
    if source is None or not (web or topology.database_here):
        return {}
    text = source.read_text(encoding="utf-8").removesuffix("\n") + f"\n# {MARK}.\n"
    file = File(text, group="airflow", mode="640", secret=True, check=_COMPILES)
    return {_webserver_config_path(settings): file}


def _webserver_config_path(settings: Settings) -> str:
    return f"{settings.airflow_home}/webserver_config.py"


def question(settings: Settings, component: Component) -> Question:
    """Return the probe's question whether a component works, with this host's addresses."""
    web = f"http://{reachable(settings.airflow_web_host)}:{settings.airflow_web_port}"
    flower = f"http://{reachable(settings.airflow_flower_host)}:{settings.airflow_flower_port}"
    health = f"http://{reachable(settings.airflow_web_host)}:{settings.airflow_health_port}"
    unit = unit_name(component)
    more = {
        "web": [unit, *(f"{web}{path}" for path in settings.release.health_paths)],
        "flower": [unit, f"{flower}/"],
        "health": [unit, f"{health}/"],
        "heartbeat": [_stamp(component)],
        "worker": list(settings.queues),
    }
    return (*component.probe, *more[component.probe[0]])


def schema_question(settings: Settings) -> Question:
    """Return the probe's question whether the database has the release's schema."""
    migrations = settings.release.migrations
    return ("schema", *(f"{table}={folder}" for table, folder in migrations.items()))


def _stamp(component: Component) -> str:
    return f"/run/airflow-{component.name}/started"


def ask(
    questions: tuple[Question, ...],
    *,
    within: int = 0,
    stdin: str | None = None,
    by: Callable[..., list[str]] = look,
) -> dict[Question, str]:
    """Ask the probe: question -> its word, which is empty before Airflow is installed.

    It is unknown where somebody took away what the probe needs.
    """
    # A stream, since pyinfra prints a fact's arguments with -v.
    stream = None if stdin is None else StringIO(stdin)
    words = by(ProbeAnswers, stdin=stream, questions=questions, within=within)
    whole = len(words) == len(questions)
    return {
        question: words[number] if whole else "".join(words[-1:])
        for number, question in enumerate(questions)
    }


def _schema_step(settings: Settings, stored: Stored | None) -> str:
    """Name the step that brings the schema to the release, by where it comes from."""
    if stored is None or not stored.revisions:
        return f"Create the schema of Airflow {settings.airflow_version}"
    if stored.older(settings.airflow_version):
        return f"Migrate the schema from {stored.schema} to {settings.airflow_version}"
    return "Migrate the schema to this release"


@operation()
def schema(
    version: str,
    commands: tuple[str, str],
    *,
    questions: tuple[Question, ...],
    password: str,
    empty: bool,
    kept: bool,
) -> Commands:
    """Bring the metadata database to the schema of release ``version``, by Airflow's ``commands``.

    The first makes a schema, the second migrates one. ``questions`` about the schema and the login
    are asked in one look, with the ``password``. What was not known before is refused here. Where
    the database is ``empty``, the one that Airflow has used until now may be another.
    """
    foreseen = empty and not state.is_executing
    answer = "none" if foreseen else ask(questions, stdin=password)[questions[0]]
    if answer == "yes" or can_not_be_asked(answer):
        host.noop("the schema is already this release's")
        return
    # The lock lets an end come to what a killed run has started.
    direct = helper("airflow_database.py")
    create, upgrade = (
        f"flock /run/airflow-schema.lock {direct} run {words.format(lib=f'{ENVIRONMENT}/lib')}"
        for words in commands
    )
    if answer in ("", "none"):
        yield create
        return
    have = Stored(revisions=tuple(ask((_REVISIONS,))[_REVISIONS].split(",")))
    if answer != "no" or (sentence := have.no_way(version)):
        why = "it can't be asked" if answer != "no" else f"it is of {have.schema}: {sentence}"
        yield StringCommand(
            "echo", QuoteString(f"the database is left as it is: {why}"), ">&2; false"
        )
        return
    yield (
        upgrade
        if kept
        else _WITH_BACKUP.format(
            backup=f"{ENVIRONMENT}/bin/backup --release {have.release}",
            upgrade=upgrade,
            direct=direct,
        )
    )


_WITH_BACKUP = """made=$({backup}) && {{ {upgrade} || {{
    echo "the schema could not be changed: restoring the database from $made" >&2
    tar -xOf "$made" database.dump | {direct} restore; false; }}; }}"""


def _login_verb(schema: str, login: str) -> str:
    """Return what the step of the login does, by what the probe says of both."""
    return "Create" if schema in ("", "none") or login == "none" else "Change"


@operation()
def login(script: str, *, questions: tuple[Question, ...], password: str, empty: bool) -> Commands:
    """Set an administrator's login with this password; the last question names the login."""
    foreseen = empty and not state.is_executing
    answers = dict.fromkeys(questions, "none") if foreseen else ask(questions, stdin=password)
    _, user, email = questions[-1]
    # Without a schema there is no answer to the last question, but one to the first.
    answer = answers[questions[-1]]
    if answer == "yes" or can_not_be_asked(answers[questions[0]]):
        host.noop(f"{user} has this login")
        return
    # An older probe says no more than that.
    if answer not in ("", "no", "none", "unknown"):
        told(f"login {user}", [answer])
    yield StringCommand(helper(script), QuoteString(user), QuoteString(email), _stdin=password)


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
        if answer != "yes" and state.is_executing:
            answer = ask((question,), within=_RETURN_WITHIN)[question]
        if answer == "yes" or can_not_be_asked(answer):
            host.noop(f"the {component} works")
            return
        yield f"systemctl restart {unit}"
    yield StringCommand(
        helper("airflow_probe.py"), str(_WORKS_WITHIN), QuoteString(json.dumps(question))
    )
