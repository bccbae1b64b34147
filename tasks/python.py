"""The release's Python, and an environment that holds exactly its lock."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.operation import OperationMeta
from pyinfra.facts.server import LinuxDistribution
from pyinfra.operations import files

from . import releases
from .deploys import deploy
from .installers import Pip, Uv
from .operations import bootstrap_environment, link, locked_environment
from .resources import resource
from .settings import ENVIRONMENT, Settings, SettingsError
from .system import packages

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
    os_packages = releases.os_packages(settings.release, settings.extras)
    packages(
        "Install Python and what the packages are built with",
        [*python.packages, "python3-venv", *os_packages],
    )
    _build_aids(settings)
    bootstrap_environment(
        name="Make the bootstrap environment",
        path=BOOTSTRAP,
        pins=settings.release.bootstrap,
        variables=index_variables(settings),
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
    """Give pip's and uv's variables for the package index that the settings ask for."""
    wanted = {
        "python_index_url": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        "python_extra_index_url": ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        "python_proxy": ("PIP_PROXY", "HTTP_PROXY", "HTTPS_PROXY"),
    }
    given = {name: settings.secret(name) for name in wanted}
    return {key: value for name, value in given.items() if value for key in wanted[name]}


def _build_aids(settings: Settings) -> None:
    for package in host.loop(list(settings.release.build_aids)):
        files.put(
            name=f"Deliver the build aid of {package}",
            src=str(resource(settings.release.build_aids[package]) / "sitecustomize.py"),
            dest=f"{BUILD_AIDS}/{package}/sitecustomize.py",
            mode="644",
        )


def _environment(settings: Settings, python: releases.Interpreter) -> list[OperationMeta]:
    wanted = settings.wanted(python.version)
    path = f"{ENVIRONMENT}/{settings.airflow_version}-{wanted.digest}"
    made = locked_environment(
        name=f"Make the environment of Airflow {settings.airflow_version}",
        path=path,
        wanted=wanted,
        installer=_installer(settings, python),
        build_aids={name: f"{BUILD_AIDS}/{name}" for name in settings.release.build_aids},
        variables=index_variables(settings),
    )
    switched = link(name="Point current to the environment", path=CURRENT, target=path)
    return [made, switched]


def _installer(settings: Settings, python: releases.Interpreter) -> Pip | Uv:
    interpreter = f"python{python.version}"
    if settings.release.installer == "uv":
        return Uv(BOOTSTRAP, interpreter)
    return Pip(BOOTSTRAP, interpreter, settings.release.seeds)
