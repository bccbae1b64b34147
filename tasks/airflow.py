"""Airflow on a host: its configuration, commands, schema and login, and its services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import StringIO

from pyinfra import host, state
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from . import airflow_cfg
from .airflow_cfg import reachable
from .deploys import deploy
from .facts import PROBE, ProbeAnswer
from .operations import (
    Commands,
    can_not_be_asked,
    running,
    secret_file,
    text_file,
    will_have_changed,
)
from .python import CURRENT
from .releases import Component
from .resources import resource, template
from .settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings

ENVIRONMENT_FILES = (CURRENT, f"{CURRENT}/.complete")
SECRETS = f"{CONFIGURATION}/secrets.env"
IMPORTED = ("airflow_api_deny.py", "airflow_hostname.py")
"""Files of ``files/lib`` that Airflow's processes may import, by airflow.cfg."""
_WORKS_WITHIN = 180
"""Seconds that a component has after its start, also on a small and busy host."""
_RETURN_WITHIN = 90
"""Seconds in which one comes back by itself: a worker tries its broker every half a minute."""


@deploy("Airflow")
def deploy_airflow(settings: Settings | None = None) -> None:
    """Configure Airflow on a host and give administrators the ``airflow`` command."""
    settings = Settings.of(host, settings)
    _helpers(settings)
    _configuration(settings)


@deploy("Database")
def deploy_database(settings: Settings | None = None) -> None:
    """Make the schema and the administrator's login, from one host for all."""
    settings = Settings.of(host, settings)
    release = settings.release
    schema(
        name="Bring the schema to the release",
        migrations=release.migrations,
        create=release.create_schema,
        upgrade=release.upgrade_schema,
    )
    login(
        name=f"Create the login {settings.airflow_admin_user}",
        script=release.login_script,
        user=settings.airflow_admin_user,
        email=settings.airflow_admin_email,
        password=settings.secret("airflow_admin_password"),
    )


@deploy("Services")
def deploy_services(
    settings: Settings | None = None, *, changed: Iterable[OperationMeta] = ()
) -> None:
    """Run the host's components of Airflow under systemd, and wait until they work.

    ``changed`` are steps after which the processes have to start anew.
    """
    settings = Settings.of(host, settings)
    # Every host loops over all of them: pyinfra tells the steps of a loop apart by their number.
    for component in host.loop(settings.release.components):
        if component.name in settings.topology.components:
            _service(settings, component, changed)


def _service(settings: Settings, component: Component, changed: Iterable[OperationMeta]) -> None:
    unit = f"airflow-{component.name}.service"
    path, text = f"/etc/systemd/system/{unit}", unit_text(settings, component)
    text_file(name=f"Write {unit}", path=path, text=text)
    started = running(
        name=f"Run {unit}",
        unit=unit,
        started=_stamp(component),
        reads={path: text, **_read(settings)},
        changed=changed,
    )
    healthy(
        name=f"Wait until the {component.description} works",
        component=component.description,
        unit=unit,
        probe=_probe(settings, component),
        changed=[started],
    )


def _imported(settings: Settings) -> tuple[str, ...]:
    return (*IMPORTED, *settings.release.helpers)


def _read(settings: Settings) -> dict[str, str | None]:
    """Give what every process of Airflow reads: path -> text, if it is one of ours."""
    modules = {f"{ENVIRONMENT}/lib/{name}": name for name in _imported(settings)}
    texts = {path: resource(f"lib/{name}").read_text() for path, name in modules.items()}
    return {**configuration(settings), **texts, **dict.fromkeys(ENVIRONMENT_FILES)}


def unit_text(settings: Settings, component: Component) -> str:
    """Write the systemd unit of a component."""
    beside_web = component.command_beside_web if settings.topology.web_here else None
    command = beside_web or component.command
    return template(
        "airflow.service",
        settings=settings,
        component=component,
        command=command.format(
            concurrency=settings.airflow_worker_concurrency,
            queues=",".join(settings.airflow_worker_queues),
            lib=f"{ENVIRONMENT}/lib",
        ),
        configuration=CONFIGURATION,
        environment=ENVIRONMENT,
        logs=LOGS,
    )


def _helpers(settings: Settings) -> None:
    release = settings.release
    for name in host.loop(("airflow_probe.py", *_imported(settings), release.login_script)):
        text = resource(f"lib/{name}").read_text()
        text_file(name=f"Deliver {name}", path=f"{ENVIRONMENT}/lib/{name}", text=text)
    commands = {
        f"{ENVIRONMENT}/bin/as-airflow": template("as-airflow", configuration=CONFIGURATION),
        "/usr/local/bin/airflow": template("airflow", environment=ENVIRONMENT),
    }
    for path in host.loop(commands):
        text_file(name=f"Write {path}", path=path, text=commands[path], mode="755")


def configuration(settings: Settings) -> dict[str, str]:
    """Give what Airflow's processes read: path -> text; the last one is secret."""
    return {
        f"{settings.airflow_home}/airflow.cfg": airflow_cfg.render(settings),
        f"{CONFIGURATION}/airflow.env": airflow_cfg.environment_file(
            airflow_cfg.environment(settings)
        ),
        SECRETS: airflow_cfg.environment_file(airflow_cfg.secret_environment(settings)),
    }


def _configuration(settings: Settings) -> None:
    texts = configuration(settings)
    secret = texts.pop(SECRETS)
    for path in host.loop(texts):
        text_file(name=f"Write {path}", path=path, text=texts[path], group="airflow", mode="640")
    secret_file(name=f"Write {SECRETS}", path=SECRETS, text=secret, group="airflow", mode="640")


def _probe(settings: Settings, component: Component) -> list[str]:
    """Complete the words of a component's probe by this host's addresses."""
    web = f"http://{reachable(settings.airflow_web_host)}:{settings.airflow_web_port}"
    flower = f"http://{reachable(settings.airflow_flower_host)}:{settings.airflow_flower_port}"
    more = {
        "web": [f"{web}{path}" for path in settings.release.health_paths],
        "flower": [f"{flower}/"],
        "heartbeat": [_stamp(component)],
        "worker": [],
    }
    return [*component.probe, *more[component.probe[0]]]


def _stamp(component: Component) -> str:
    return f"/run/airflow-{component.name}/started"


@operation()
def schema(migrations: Mapping[str, str], *, create: str, upgrade: str) -> Commands:
    """Bring the metadata database to the release's schema, by Airflow's own commands."""
    words = [f"{table}={folder}" for table, folder in migrations.items()]
    answer = host.get_fact(ProbeAnswer, words=["schema", *words])
    if answer == "yes" or can_not_be_asked(answer):
        host.noop("the schema is the release's")
        return
    # The lock lets an end come to what a killed run has started.
    command = create if answer in ("", "none") else upgrade
    yield f"flock /run/airflow-schema.lock airflow {command}"


@operation()
def login(script: str, user: str, email: str, password: str) -> Commands:
    """Give an administrator a login with this password."""
    # A stream, since pyinfra prints a fact's arguments with -v.
    answer = host.get_fact(ProbeAnswer, words=["login", user, email], _stdin=StringIO(password))
    if answer == "yes" or can_not_be_asked(answer):
        host.noop(f"{user} has this login")
        return
    python = PROBE.replace("airflow_probe.py", script)
    yield StringCommand(python, QuoteString(user), QuoteString(email), _stdin=password)


@operation()
def healthy(
    component: str,
    unit: str,
    probe: Sequence[str],
    *,
    changed: Iterable[OperationMeta],
) -> Commands:
    """Wait until a component works, and fail when it does not in time.

    One that nothing has touched may be on its way back by itself, from a crash or to a server that
    was down, and waiting for it is no change. One that stays away is restarted: a scheduler of
    Airflow 1.8 whose database was gone may hang for ever.
    """
    if not will_have_changed(changed):
        patience = _RETURN_WITHIN if state.is_executing else 0
        answer = host.get_fact(ProbeAnswer, words=[*probe, str(patience)])
        if answer == "yes" or can_not_be_asked(answer):
            host.noop(f"the {component} works")
            return
        yield f"systemctl restart {unit}"
    yield StringCommand(PROBE, *map(QuoteString, probe), str(_WORKS_WITHIN))
