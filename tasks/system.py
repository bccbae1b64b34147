"""The host itself: base packages, Airflow's user and folders, a name that resolves."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.facts.files import FileContents
from pyinfra.operations import files, server

from .deploys import deploy
from .facts import APT_STAMP, AptPackages, OwnName
from .operations import Commands, text_file, with_block, without_block
from .settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings

_LOCK_WITHIN = 600
"""Seconds to wait for another process that holds one of apt's locks, such as a new host's own."""

# `apt-get update` has no option to wait for its lock.
_UPDATE = (
    f"end=$(($(date +%s) + {_LOCK_WITHIN})); while ! said=$(LC_ALL=C apt-get update -q 2>&1); do"
    ' case $said in *"held by process"*) test $(date +%s) -lt $end && sleep 2 && continue ;; esac;'
    f' echo "$said" >&2; exit 1; done; touch {APT_STAMP}'
)

_INSTALL = (
    "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends"
    f" -o DPkg::Lock::Timeout={_LOCK_WITHIN}"
    ' -o Dpkg::Options::="--force-confdef" -o Dpkg::Options::="--force-confold"'
)


@operation()
def packages(packages: Sequence[str]) -> Commands:
    """Install apt packages, with lists of today, waiting while another process holds apt's locks.

    Lists grow old every day; that alone is no change.
    """
    have = host.get_fact(AptPackages, packages=list(packages))
    missing = [name for name in packages if name not in have.installed]
    if not missing:
        host.noop(f"{', '.join(packages)} are installed")
        return
    if not have.fresh:
        yield _UPDATE
    yield StringCommand(_INSTALL, *map(QuoteString, missing))


@deploy("System")
def deploy_system(settings: Settings | None = None) -> None:
    """Prepare a host for the components; ``settings`` default to the host's data."""
    settings = Settings.of(host, settings)
    packages(
        name="Install the base packages",
        packages=["ca-certificates", "iproute2", "procps", "util-linux"],
    )
    host_names(name="Let the hosts find each other by name", lines=settings.topology.names)
    own_name(name="Make the host's own name resolvable")
    if settings.airflow_components:
        _user(settings)
        _folders(settings)


def _user(settings: Settings) -> None:
    server.user(
        name="Create the user airflow",
        user="airflow",
        home=settings.airflow_home,
        shell="/usr/sbin/nologin",
        system=True,
        create_home=False,
        ensure_home=False,
    )


def _folders(settings: Settings) -> None:
    home = settings.airflow_home
    owned = {home: "750", f"{home}/dags": "750", f"{home}/plugins": "750", LOGS: "750"}
    for path in host.loop(list(owned)):
        files.directory(
            name=f"Create {path}", path=path, user="airflow", group="airflow", mode=owned[path]
        )
    for path in host.loop([ENVIRONMENT, f"{ENVIRONMENT}/bin", f"{ENVIRONMENT}/lib"]):
        files.directory(name=f"Create {path}", path=path, user="root", group="root", mode="755")
    files.directory(
        name=f"Create {CONFIGURATION}", path=CONFIGURATION, user="root", group="airflow", mode="750"
    )


@operation()
def host_names(lines: Sequence[str]) -> Commands:
    """Let the hosts find each other by name, also without DNS."""
    have = host.get_fact(FileContents, path="/etc/hosts") or []
    wanted = with_block(have, lines) if lines else without_block(have)
    if wanted == have:
        host.noop("/etc/hosts names every host")
        return
    yield from text_file._inner(path="/etc/hosts", text="\n".join(wanted) + "\n")


@operation()
def own_name() -> Commands:
    """Make the host's own name resolvable, as Airflow and RabbitMQ expect it."""
    answer = host.get_fact(OwnName)
    if len(answer) > 1:
        host.noop(f"{answer[0]} resolves")
        return
    yield 'printf "127.0.1.1\\t%s\\n" "$(hostname)" >> /etc/hosts'
