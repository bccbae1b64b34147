"""The release's Python, and an environment that holds exactly its lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from pyinfra import host, logger
from pyinfra.api import FileUploadCommand, QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from ..catalog import distributions, locks
from ..catalog.model import Interpreter, NoInterpreterError
from ..catalog.wheelhouse import Wheelhouse
from ..deploys import deploy
from ..host.files import File, Folder, place
from ..host.found import Paths
from ..host.look import Look, Wide, look, shell
from ..host.machine import HostSystem
from ..host.packages import AptPackages, debs_here, packages
from ..host.steps import Commands
from ..resources import resource
from ..run import diffing
from ..settings import ENVIRONMENT, Settings, SettingsError
from .installers import ALONE, FROM_INDEX, Pip, Uv, pip

BOOTSTRAP = f"{ENVIRONMENT}/bootstrap"
BUILD_AIDS = f"{ENVIRONMENT}/build"
CURRENT = f"{ENVIRONMENT}/current"
CARRIED = f"{ENVIRONMENT}/wheels"
"""Where a host has the wheelhouse's files while it installs them."""


@deploy("Python")
def deploy_python(settings: Settings | None = None) -> list[OperationMeta]:
    """Create the release's environment and point ``current`` to it.

    Return the operations after which Airflow's processes have to be restarted.
    """
    environment = _environment(Settings.of(host, settings))
    return [environment.made, _link(environment)]


@dataclass(frozen=True)
class Environment:
    """An environment on a host, and the step that makes it."""

    path: str
    made: OperationMeta


@deploy("Python")
def deploy_environment(settings: Settings) -> Environment:
    """Create the release's environment, next to the one in use."""
    return _environment(settings)


@deploy("Python")
def deploy_link(environment: Environment) -> OperationMeta:
    """Point ``current`` to an environment."""
    return _link(environment)


def _environment(settings: Settings) -> Environment:
    python = choose_interpreter(settings)
    packages(
        name="Install Python and the build dependencies",
        packages=distributions.python_packages(settings.release, settings.extras, python),
        debs=debs_here(settings),
    )
    place(_build_aids(settings))
    return _environments(settings, python)


def _link(environment: Environment) -> OperationMeta:
    return link(name="Point current to the environment", target=environment.path)


def choose_interpreter(settings: Settings) -> Interpreter:
    """Choose the host's Python; SettingsError names the distributions that have one."""
    try:
        return distributions.interpreter(settings.release, look(HostSystem).distribution)
    except NoInterpreterError as error:
        raise SettingsError(f"airflow_version on {host.name}: {error}") from None


def index_variables(settings: Settings) -> dict[str, str]:
    """Return pip's and uv's variables for the package index or the wheelhouse of the settings."""
    wanted = {
        "python_index_url": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        "python_extra_index_url": ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        "python_proxy": ("PIP_PROXY", "HTTP_PROXY", "HTTPS_PROXY"),
    }
    given = {name: settings.secret(name) for name in wanted}
    variables = {key: value for name, value in given.items() if value for key in wanted[name]}
    if settings.wheelhouse:
        variables |= settings.wheelhouse.variables(CARRIED)
    places = ("python_index_url", "python_extra_index_url", "airflow_wheelhouse")
    addresses = (urlsplit(settings.secret(name)) for name in places)
    plain = [url.netloc.rpartition("@")[2] for url in addresses if url.scheme == "http"]
    # pip passes an index without TLS by unless it is told twice.
    return {**variables, "PIP_TRUSTED_HOST": " ".join(plain)} if plain else variables


def _build_aids(settings: Settings) -> dict[str, File | Folder]:
    aids = settings.release.build_aids
    folders = {f"{BUILD_AIDS}/{package}": aids[package] for package in aids}
    texts = {
        f"{folder}/sitecustomize.py": (resource(aid) / "sitecustomize.py").read_text()
        for folder, aid in folders.items()
    }
    parents = dict.fromkeys((BUILD_AIDS, *folders) if folders else (), Folder())
    return {**parents, **{path: File(text) for path, text in texts.items()}}


def in_use(settings: Settings) -> bool:
    """Return whether the host's Airflow runs from the environment that the settings want."""
    path = _path(settings, _wanted(settings, choose_interpreter(settings)))
    return look(PythonEnvironments, paths=(path,), link=CURRENT).linked == path


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_environment` ask."""
    python = choose_interpreter(settings)
    needed = distributions.python_packages(settings.release, settings.extras, python)
    yield Look.of(AptPackages, packages=tuple(needed))
    yield Look.of(Paths, paths=tuple(_build_aids(settings)))
    paths = (BOOTSTRAP, _path(settings, _wanted(settings, python)))
    yield Look.of(PythonEnvironments, paths=paths, link=CURRENT)


def _wanted(settings: Settings, python: Interpreter) -> locks.Wanted:
    if sentence := settings.contradiction(python.version):
        raise SettingsError(sentence)
    return settings.wanted(python.version)


def _path(settings: Settings, wanted: locks.Wanted) -> str:
    return f"{ENVIRONMENT}/{settings.airflow_version}-{wanted.digest}"


def _environments(settings: Settings, python: Interpreter) -> Environment:
    wanted = _wanted(settings, python)
    path = _path(settings, wanted)
    bootstrap = locks.parse("\n".join(settings.release.bootstrap), ())
    if sentence := settings.lacks({**bootstrap, **wanted.pins}):
        raise SettingsError(sentence)
    bootstrap_environment(
        name="Create the bootstrap environment",
        path=BOOTSTRAP,
        pins=bootstrap,
        variables=index_variables(settings),
        wheelhouse=settings.wheelhouse,
    )
    made = locked_environment(
        name=f"Create the environment of Airflow {settings.airflow_version}",
        path=path,
        wanted=wanted,
        installer=_installer(settings, python),
        build_aids={name: f"{BUILD_AIDS}/{name}" for name in settings.release.build_aids},
        variables=index_variables(settings),
        wheelhouse=settings.wheelhouse,
    )
    return Environment(path, made)


@dataclass(frozen=True)
class Installed:
    """A Python environment on the host."""

    complete: bool
    distributions: dict[str, str]
    frozen: dict[str, str]
    """What constraints made of it, where it was made by constraints."""


def _installed(path: str) -> Installed | None:
    return look(PythonEnvironments, paths=(path,), link=CURRENT).installed.get(path)


def _installer(settings: Settings, python: Interpreter) -> Pip | Uv:
    interpreter = f"python{python.version}"
    if settings.release.installer == "uv":
        return Uv(BOOTSTRAP, interpreter, index=settings.wheelhouse is None)
    return Pip(BOOTSTRAP, interpreter, settings.release.seeds)


@operation()
def link(target: str) -> Commands:
    """Point ``current`` to an environment in one step, so that it is never missing."""
    if look(PythonEnvironments, paths=(target,), link=CURRENT).linked == target:
        host.noop(f"{CURRENT} points to {target}")
        return
    new = f"{CURRENT}.new"
    yield StringCommand("ln -sfn", QuoteString(target), f"{new} && mv -fT {new} {CURRENT}")


@operation()
def bootstrap_environment(
    path: str,
    pins: Mapping[str, str],
    *,
    variables: Mapping[str, str],
    wheelhouse: Wheelhouse | None,
) -> Commands:
    """Create a small environment of the host's own Python 3, with the tool for the real one."""
    have = _installed(path)
    if have and have.complete and not locks.difference(pins, have.distributions).missing:
        host.noop(f"{path} has {', '.join(pins)}")
        return
    folder = QuoteString(path)
    yield StringCommand(ALONE, "rm -rf", folder, "&& python3 -m venv", folder)
    yield from _carried(wheelhouse.files(pins) if wheelhouse else ())
    words = [QuoteString(f"{name}=={version}") for name, version in pins.items()]
    yield pip(path, variables, "install", *words, FROM_INDEX)
    yield shell("touch ", folder, "/.complete")


def _carried(files: Sequence[Path]) -> Commands:
    """Carry files of a wheelhouse to the host, and nothing but them."""
    if files:
        yield StringCommand(ALONE, f"rm -rf {CARRIED} && mkdir {CARRIED}")
    for file in files:
        target = f"{CARRIED}/{file.name}"
        yield FileUploadCommand(str(file), target, host.get_temp_filename(target))


@operation()
def locked_environment(
    path: str,
    wanted: locks.Wanted,
    *,
    installer: Pip | Uv,
    build_aids: Mapping[str, str],
    variables: Mapping[str, str],
    wheelhouse: Wheelhouse | None,
) -> Commands:
    """Create a Python environment that holds exactly what is wanted.

    A package of ``build_aids`` is installed last, with that folder on PYTHONPATH. An environment
    whose making was cut short is made anew; one that somebody changed is mended in place.
    """
    have = _installed(path)
    have = have if have and have.complete and (have.frozen or not wanted.requirement) else None
    pins = have.frozen if have and wanted.requirement else wanted.pins
    if have:
        difference = locks.difference(pins, have.distributions)
        if not difference:
            host.noop(f"every pin is installed in {path}")
            return
        if diffing():
            host.log(f"Will correct {path}: {difference}", logger.info)
        yield shell("rm -f ", QuoteString(f"{path}/.complete"))
    else:
        yield StringCommand(ALONE, "rm -rf", QuoteString(path))
        yield installer.create(path)
        difference = locks.Difference(tuple(sorted(wanted.pins)), ())
    if difference.foreign:
        yield installer.uninstall(path, difference.foreign)
    if wheelhouse:
        missing = {name: pins[name] for name in difference.missing}
        whole = wanted.requirement and not have
        yield from _carried(wheelhouse.everything() if whole else wheelhouse.files(missing))
    aided = [name for name in difference.missing if name in build_aids]
    plain = {name: pins[name] for name in difference.missing if name not in aided}
    yield from _install(installer, path, "requirements.txt", plain, variables)
    for name in aided:
        with_aid = {**variables, "PYTHONPATH": build_aids[name]}
        yield from _install(installer, path, f"{name}.txt", {name: pins[name]}, with_aid)
    if wanted.requirement and not have:
        yield from _resolve(installer, path, wanted, variables)
    yield shell(f"rm -rf {CARRIED} && touch ", QuoteString(f"{path}/.complete"))


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


@dataclass(frozen=True)
class Environments:
    """The Python environments of a host."""

    installed: Mapping[str, Installed]
    """Path -> what is there, without those that are not there."""
    linked: str
    """Where the link points to; empty where there is none."""


class PythonEnvironments(Wide[Environments]):
    """The distributions in the environments at ``paths``, and which of them ``link`` points to.

    They are read from file names alone.
    """

    wide = "paths"

    @staticmethod
    def default() -> Environments:
        return Environments({}, "")

    def command(self, paths: tuple[str, ...], link: str) -> StringCommand:
        return StringCommand(
            "readlink", QuoteString(link), "|| echo; for path in", *map(QuoteString, paths), ";",
            'do cd "$path" 2>/dev/null && { echo "in $path"; ls -d .complete bin/python',
            "lib/python*/site-packages/*.dist-info lib/python*/site-packages/*.egg-info;",
            "cat .frozen; } 2>/dev/null; done; true",
        )  # fmt: skip

    def process(self, output: list[str]) -> Environments:
        linked, *lines = output
        sections: dict[str, list[str]] = {}
        for line in lines:
            if line.startswith("in "):
                section = sections.setdefault(line.removeprefix("in "), [])
            else:
                section.append(line)
        return Environments({path: _read(lines) for path, lines in sections.items()}, linked)


def _read(lines: list[str]) -> Installed:
    entries = [line for line in lines if line.endswith("-info")]
    frozen = locks.parse("\n".join(line for line in lines if "==" in line), ())
    complete = {".complete", "bin/python"}.issubset(lines)
    return Installed(complete, locks.installed(entries), frozen)
