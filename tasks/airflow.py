"""Airflow on a host: its configuration, commands, schema and login, and its services."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra import host
from pyinfra.api.operation import OperationMeta
from pyinfra.operations import files

from . import airflow_cfg
from .deploys import deploy
from .operations import healthy, login, running, schema, secret_file, text_file
from .python import CURRENT
from .releases import Component
from .resources import resource, template
from .settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings

HELPERS = ("airflow_probe.py", "airflow_api_deny.py")


@deploy("Airflow")
def deploy_airflow(settings: Settings | None = None) -> list[OperationMeta]:
    """Configure Airflow on a host and give administrators the ``airflow`` command.

    Gives the operations after which Airflow's processes have to start anew.
    """
    settings = Settings.of(host, settings)
    _helpers(settings)
    return _configuration(settings)


@deploy("Database")
def deploy_database(settings: Settings | None = None) -> None:
    """Make the schema and the administrator's login, from one host for all."""
    settings = Settings.of(host, settings)
    release = settings.release
    schema(
        name="Bring the schema to the release",
        head=release.schema_head,
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

    ``changed`` are operations that write what the processes read.
    """
    settings = Settings.of(host, settings)
    for component in host.loop(settings.airflow_components):
        unit = f"airflow-{component.name}.service"
        path = f"/etc/systemd/system/{unit}"
        written = text_file(name=f"Write {unit}", path=path, text=unit_text(settings, component))
        started = running(
            name=f"Run {unit}",
            unit=unit,
            started=_stamp(component),
            reads=[path, *_reads(settings)],
            changed=[written, *changed],
        )
        healthy(
            name=f"Wait until the {component.description} works",
            component=component.description,
            probe=_probe(settings, component),
            seconds=180,
            changed=[started],
        )


def unit_text(settings: Settings, component: Component) -> str:
    """Write the systemd unit of a component."""
    beside_web = component.command_beside_web if settings.airflow_web_here else None
    command = beside_web or component.command
    return template(
        "airflow.service",
        settings=settings,
        component=component,
        command=command.format(
            concurrency=settings.airflow_worker_concurrency,
            queues=",".join(settings.airflow_worker_queues),
        ),
        configuration=CONFIGURATION,
        environment=ENVIRONMENT,
        logs=LOGS,
    )


def _helpers(settings: Settings) -> None:
    for name in host.loop((*HELPERS, settings.release.login_script)):
        files.put(
            name=f"Deliver {name}",
            src=str(resource(f"lib/{name}")),
            dest=f"{ENVIRONMENT}/lib/{name}",
            mode="644",
        )
    commands = {
        f"{ENVIRONMENT}/bin/as-airflow": template("as-airflow", configuration=CONFIGURATION),
        "/usr/local/bin/airflow": template("airflow", environment=ENVIRONMENT),
    }
    for path in host.loop(commands):
        text_file(name=f"Write {path}", path=path, text=commands[path], mode="755")


def _configuration(settings: Settings) -> list[OperationMeta]:
    return [
        text_file(
            name="Write airflow.cfg",
            path=f"{settings.airflow_home}/airflow.cfg",
            text=airflow_cfg.render(settings),
            group="airflow",
            mode="640",
        ),
        text_file(
            name="Write the environment",
            path=f"{CONFIGURATION}/airflow.env",
            text=airflow_cfg.environment_file(airflow_cfg.environment(settings)),
            group="airflow",
            mode="640",
        ),
        secret_file(
            name="Write the secrets",
            path=f"{CONFIGURATION}/secrets.env",
            text=airflow_cfg.environment_file(airflow_cfg.secret_environment(settings)),
            group="airflow",
            mode="640",
        ),
    ]


def _reads(settings: Settings) -> list[str]:
    return [
        f"{settings.airflow_home}/airflow.cfg",
        f"{CONFIGURATION}/airflow.env",
        f"{CONFIGURATION}/secrets.env",
        f"{ENVIRONMENT}/lib/airflow_api_deny.py",
        CURRENT,
        f"{CURRENT}/.complete",
    ]


def _probe(settings: Settings, component: Component) -> list[str]:
    web = _reachable(settings.airflow_web_host)
    flower = _reachable(settings.airflow_flower_host)
    probes = {
        "web": ["web", f"http://{web}:{settings.airflow_web_port}{settings.release.health_path}"],
        "flower": ["flower", f"http://{flower}:{settings.airflow_flower_port}/"],
        "scheduler": ["scheduler", _stamp(component)],
        "worker": ["worker"],
    }
    return probes[component.probe]


def _reachable(address: str) -> str:
    """Give an address at which a service that listens on ``address`` answers."""
    wildcards = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    return wildcards.get(address, f"[{address}]" if ":" in address else address)


def _stamp(component: Component) -> str:
    return f"/run/airflow-{component.name}/started"
