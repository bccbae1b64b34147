"""The release's Python, and an environment that holds exactly its lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from urllib.parse import urlsplit

from pyinfra import host, logger, state
from pyinfra.api import FileUploadCommand, QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta
from pyinfra.facts.files import Link
from pyinfra.facts.server import LinuxDistribution
from pyinfra.operations import files

from . import locks, releases
from .deploys import deploy
from .facts import PythonEnvironment, shell
from .installers import ALONE, FROM_INDEX, Pip, Uv, pip
from .operations import Commands
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
        name="Install Python and what the packages are built with",
        packages=[*python.packages, "python3-venv", *os_packages],
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
    variables = {key: value for name, value in given.items() if value for key in wanted[name]}
    indexes = (urlsplit(given[name]) for name in ("python_index_url", "python_extra_index_url"))
    plain = [url.netloc.rpartition("@")[2] for url in indexes if url.scheme == "http"]
    # pip passes an index without TLS by unless it is told twice.
    return {**variables, "PIP_TRUSTED_HOST": " ".join(plain)} if plain else variables


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


@operation()
def link(path: str, target: str) -> Commands:
    """Point a symbolic link elsewhere in one step, so that it is never missing."""
    found = host.get_fact(Link, path=path)
    if found and found["link_target"] == target:
        host.noop(f"{path} points to {target}")
        return
    new = QuoteString(f"{path}.new")
    yield StringCommand("ln -sfn", QuoteString(target), new, "&& mv -fT", new, QuoteString(path))


@operation()
def bootstrap_environment(
    path: str, pins: Sequence[str], *, variables: Mapping[str, str]
) -> Commands:
    """Make a small environment of the host's own Python 3 that holds the tool for the real one."""
    wanted = locks.parse("\n".join(pins), ())
    have = host.get_fact(PythonEnvironment, path=path)
    if have and have.complete and not locks.difference(wanted, have.distributions).missing:
        host.noop(f"{path} has {', '.join(pins)}")
        return
    folder = QuoteString(path)
    yield StringCommand(ALONE, "rm -rf", folder, "&& python3 -m venv", folder)
    yield pip(path, variables, "install", *map(QuoteString, pins), FROM_INDEX)
    yield shell("touch ", folder, "/.complete")


@operation()
def locked_environment(
    path: str,
    wanted: locks.Wanted,
    *,
    installer: Pip | Uv,
    build_aids: Mapping[str, str],
    variables: Mapping[str, str],
) -> Commands:
    """Make a Python environment that holds exactly what is wanted.

    A package of ``build_aids`` is installed last, with that folder on PYTHONPATH. An environment
    whose making was cut short is made anew; one that somebody changed is mended in place.
    """
    have = host.get_fact(PythonEnvironment, path=path)
    pins = have.frozen if have and wanted.requirement else wanted.pins
    if have and have.complete:
        difference = locks.difference(pins, have.distributions)
        if not difference:
            host.noop(f"every pin holds in {path}")
            return
        if state.config.DIFF:
            host.log(f"Will mend {path}: {difference}", logger.info)
        yield shell("rm -f ", QuoteString(f"{path}/.complete"))
    else:
        yield StringCommand(ALONE, "rm -rf", QuoteString(path))
        yield installer.create(path)
        difference = locks.Difference(tuple(sorted(wanted.pins)), ())
    if difference.foreign:
        yield installer.uninstall(path, difference.foreign)
    aided = [name for name in difference.missing if name in build_aids]
    plain = {name: pins[name] for name in difference.missing if name not in aided}
    yield from _install(installer, path, "requirements.txt", plain, variables)
    for name in aided:
        with_aid = {**variables, "PYTHONPATH": build_aids[name]}
        yield from _install(installer, path, f"{name}.txt", {name: pins[name]}, with_aid)
    if wanted.requirement and not (have and have.complete):
        yield from _resolve(installer, path, wanted, variables)
    yield shell("touch ", QuoteString(f"{path}/.complete"))


def _resolve(
    installer: Pip | Uv, path: str, wanted: locks.Wanted, variables: Mapping[str, str]
) -> Commands:
    """Let the installer choose versions within the constraints, and keep its choice as the lock."""
    texts = {
        f"{path}/constraints.txt": wanted.constraints,
        f"{path}/requirements.txt": f"-c {path}/constraints.txt\n{wanted.requirement}\n",
    }
    for file, text in texts.items():
        yield FileUploadCommand(StringIO(text), file, host.get_temp_filename(file))
    yield installer.resolve(path, variables, f"{path}/requirements.txt")
    yield installer.freeze(path)


def _install(
    installer: Pip | Uv,
    path: str,
    file: str,
    pins: Mapping[str, str],
    variables: Mapping[str, str],
) -> Commands:
    if pins:
        lock = f"{path}/{file}"
        yield FileUploadCommand(StringIO(locks.render(pins)), lock, host.get_temp_filename(lock))
        yield installer.install(path, variables, lock)
