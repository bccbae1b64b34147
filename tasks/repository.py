"""DAGs from a git repository: a clone on each host that reads them, and a link that is switched.

The clone belongs to a user of its own, whose files Airflow's tasks can read but not write, and
whose key they can't read. Each commit is checked out into a folder of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyinfra import host, state
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from . import releases
from .facts import (
    NO_UNIT,
    AptPackages,
    Checkout,
    DagsRepository,
    Paths,
    Units,
    UserAccount,
    Watched,
)
from .look import Look, look
from .operations import Commands, File, Folder, place, timer, units_absent
from .resources import template
from .settings import ENVIRONMENT, Settings
from .system import account, debs_here, packages

HOME = "/var/lib/airflow-dags"
USER = "airflow-dags"
TIMER = "airflow-dags.timer"
SERVICE = "airflow-dags.service"
UNITS = (TIMER, SERVICE)
WATCHED = Watched(SERVICE, "/", ())
"""What tells whether a host has a clone."""
_SCRIPT = f"{ENVIRONMENT}/bin/dags-repository"
_COMMIT = "airflow_dags_commit"
"""Where a host's connector data has the commit that all take."""

Question = Mapping[str, Any]


def files(settings: Settings) -> dict[str, File | Folder]:
    """Return the clone's folders, the script and its unit, and what opens the remote."""
    names = {"settings": settings, "environment": ENVIRONMENT, "home": HOME, "user": USER}
    git = f"{HOME}/git"
    wanted: dict[str, File | Folder] = {
        HOME: Folder(),
        # Whatever is made in it belongs to Airflow's group.
        f"{HOME}/checkouts": Folder(USER, "airflow", "2750"),
        git: Folder(USER, USER, "700"),
        _SCRIPT: File(template("dags-repository", **names), mode="755"),
        f"/etc/systemd/system/{SERVICE}": File(template(SERVICE, **names)),
        # Else git refuses a repository of somebody else's on this host.
        f"{git}/.gitconfig": File("[safe]\n\tdirectory = *\n", unmarked=True),
        f"{git}/known_hosts": File(
            "".join(f"{x}\n" for x in settings.airflow_dags_known_hosts), unmarked=True
        ),
    }
    if key := settings.secret("airflow_dags_deploy_key").strip():
        wanted[f"{git}/key"] = File(f"{key}\n", USER, USER, "600", secret=True, unmarked=True)
    if settings.airflow_dags_interval:
        wanted[f"/etc/systemd/system/{TIMER}"] = File(template(TIMER, **names))
    return wanted


def question(settings: Settings) -> Question:
    """Return the arguments of the look that all steps share."""
    return {
        "script": _SCRIPT,
        "url": str(settings.airflow_dags_repository),
        "revision": settings.airflow_dags_revision,
        "link": settings.dags_link,
    }


def source(settings: Settings, commit: str = "current") -> str:
    """Return the folder of DAGs in a checkout."""
    return f"{HOME}/checkouts/{commit}/{settings.airflow_dags_subfolder}".rstrip("/")


def fetch(settings: Settings) -> None:
    """Fetch the commit that all hosts are to use, next to the one in use."""
    packages(name="Install git", packages=releases.APT["repository"], debs=debs_here(settings))
    account(name=f"Create the user {USER}", user=USER, home=HOME, shell="/usr/sbin/nologin")
    place(files(settings))
    asked = question(settings)
    if settings.topology.database_here:
        chosen(name="Choose the commit for all hosts", asked=asked)
    checked_out(
        name=f"Check out {settings.airflow_dags_repository}",
        asked=asked,
        subfolder=settings.airflow_dags_subfolder,
    )


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `fetch` and `use` ask, the remote apart."""
    yield Look.of(AptPackages, packages=releases.APT["repository"])
    yield Look.of(UserAccount, user=USER)
    yield Look.of(Paths, paths=tuple(files(settings)))


def use(settings: Settings) -> OperationMeta:
    """Switch to the commit that ``fetch`` has brought, and keep up with the remote by a timer."""
    step = switched(
        name="Switch to the commit",
        asked=question(settings),
        source=source(settings),
    )
    texts = {
        path: file.text
        for path, file in files(settings).items()
        if isinstance(file, File) and path.startswith("/etc/systemd/system/")
    }
    if settings.airflow_dags_interval:
        timer(name=f"Run {TIMER}", unit=TIMER, texts=texts, units=UNITS)
    else:
        watched = tuple(Watched(unit, "/", ()) for unit in UNITS)
        units_absent(name=f"Remove {TIMER}", units=watched[:1])
    return step


def commit(have: Checkout) -> str:
    """Return the commit that all hosts are to use; empty where none can be known."""
    chosen = (each.connector_data.get(_COMMIT) for each in state.inventory)
    return next(filter(None, chosen), have.remote)


@operation()
def chosen(asked: Question) -> Commands:
    """Make all hosts use the commit that this one sees: the branch may move meanwhile."""
    if state.is_executing:
        host.connector_data[_COMMIT] = look(DagsRepository, **asked).remote
    host.noop("choosing a commit changes nothing")
    yield from ()


@operation()
def checked_out(asked: Question, subfolder: str) -> Commands:
    """Check out the wanted commit, also if somebody has changed the files in use."""
    have = look(DagsRepository, **asked)
    wanted = commit(have)
    if wanted and have.commit == wanted and have.whole:
        host.noop(f"{wanted} is checked out")
        return
    url = QuoteString(asked["url"])
    if not wanted:  # it says why
        yield StringCommand(_SCRIPT, "remote", url, QuoteString(asked["revision"]), ">/dev/null")
        wanted = host.get_fact(DagsRepository, **asked).remote
    yield StringCommand(_SCRIPT, "checkout", url, wanted)
    folder = QuoteString(f"{HOME}/checkouts/{wanted}/{subfolder}")
    sentence = f"airflow_dags_subfolder: there is no folder {subfolder} in {wanted}"
    yield StringCommand("test -d", folder, "|| { echo", QuoteString(sentence), ">&2; false; }")


@operation()
def switched(asked: Question, source: str) -> Commands:
    """Switch Airflow to the commit's files, all of them at once."""
    have = look(DagsRepository, **asked)
    wanted = commit(have)
    if have.commit == wanted and have.link == source:
        host.noop(f"{wanted} is used")
        return
    yield StringCommand(_SCRIPT, "switch", wanted)
    link = asked["link"]
    if have.link != source:
        new, sentence = QuoteString(f"{link}.new"), f"{link} is in the way: move it"
        yield StringCommand(
            "if test -e", QuoteString(link), "&& ! test -L", QuoteString(link), "; then echo",
            QuoteString(sentence), ">&2; false; else ln -sfn", QuoteString(source), new,
            "&& mv -fT", new, QuoteString(link), "; fi",
        )  # fmt: skip


@operation()
def clone_absent(link: str) -> Commands:
    """Remove a clone that is no longer in the inventory, and what belongs to it."""
    if not look(Units, watched=(WATCHED,)).get(SERVICE, NO_UNIT).present:
        host.noop("there is no clone")
        return
    units = " ".join(f"/etc/systemd/system/{unit}" for unit in UNITS)
    yield f"systemctl disable -q --now {TIMER} 2>/dev/null; systemctl stop {SERVICE}"
    yield StringCommand("rm -rf", QuoteString(link), _SCRIPT, HOME, units)
    yield f"systemctl daemon-reload; systemctl reset-failed {SERVICE} 2>/dev/null; userdel {USER}"
