"""The release's Python, and an environment that holds exactly its lock."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.operation import OperationMeta
from pyinfra.facts.server import LinuxDistribution
from pyinfra.operations import apt, files

from . import locks, releases
from .deploys import deploy
from .operations import bootstrap_environment, link, locked_environment
from .resources import resource
from .settings import ENVIRONMENT, Settings, SettingsError
from .system import LOCK_WAIT

BOOTSTRAP = f"{ENVIRONMENT}/bootstrap"
BUILD_AIDS = f"{ENVIRONMENT}/build"
CURRENT = f"{ENVIRONMENT}/current"


@deploy("Python")
def deploy_python(settings: Settings | None = None) -> list[OperationMeta]:
    """Make the release's environment and point ``current`` to it.

    Gives the operations after which Airflow's processes have to start anew.
    """
    settings = Settings.of(host, settings)
    python = choose_interpreter(settings)
    _packages(settings, python)
    _build_aids(settings)
    bootstrap_environment(
        name="Make the bootstrap environment",
        path=BOOTSTRAP,
        pins=settings.release.bootstrap,
        index=index_variables(settings),
    )
    return _environment(settings, python)


def choose_interpreter(settings: Settings) -> releases.Interpreter:
    """Choose the host's Python; SettingsError names the distributions that have one."""
    found = host.get_fact(LinuxDistribution)
    distribution = f"{found['name']} {found['release_meta'].get('VERSION_ID', '')}"
    try:
        return releases.interpreter(settings.release, distribution)
    except releases.NoInterpreterError as error:
        raise SettingsError(f"airflow_version on {host.name}: {error}") from None


def index_variables(settings: Settings) -> dict[str, str]:
    """Give pip's variables for the package index that the settings ask for."""
    wanted = {
        "PIP_INDEX_URL": settings.secret("python_index_url"),
        "PIP_EXTRA_INDEX_URL": settings.secret("python_extra_index_url"),
        "PIP_PROXY": settings.secret("python_proxy"),
    }
    return {name: value for name, value in wanted.items() if value}


def _packages(settings: Settings, python: releases.Interpreter) -> None:
    apt.packages(
        name="Install Python and what the packages are built with",
        packages=[
            *python.packages,
            "python3-venv",
            *releases.os_packages(settings.release, settings.extras),
        ],
        no_recommends=True,
        extra_install_args=LOCK_WAIT,
    )


def _build_aids(settings: Settings) -> None:
    for package in host.loop(list(settings.release.build_aids)):
        files.put(
            name=f"Deliver the build aid of {package}",
            src=str(resource(settings.release.build_aids[package]) / "sitecustomize.py"),
            dest=f"{BUILD_AIDS}/{package}/sitecustomize.py",
            mode="644",
        )


def _environment(settings: Settings, python: releases.Interpreter) -> list[OperationMeta]:
    pins = settings.pins(python.version)
    path = f"{ENVIRONMENT}/{settings.airflow_version}-{locks.digest(pins)}"
    made = locked_environment(
        name=f"Make the environment of Airflow {settings.airflow_version}",
        path=path,
        pins=pins,
        creator=_virtualenv(settings, python, path),
        build_aids={name: f"{BUILD_AIDS}/{name}" for name in settings.release.build_aids},
        index=index_variables(settings),
    )
    switched = link(name="Point current to the environment", path=CURRENT, target=path)
    return [made, switched]


def _virtualenv(settings: Settings, python: releases.Interpreter, path: str) -> StringCommand:
    seeds = [f"--{name}={version}" for name, version in settings.release.seeds.items()]
    return StringCommand(
        f"{BOOTSTRAP}/bin/virtualenv --quiet --no-download -p python{python.version}",
        *seeds,
        QuoteString(path),
    )
