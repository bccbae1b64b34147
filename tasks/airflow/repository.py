"""DAGs from a git repository: a clone on each host that reads them, and a link that is switched.

The clone belongs to a user of its own, whose files Airflow's tasks can read but not write, and
whose key they can't read. Each commit is checked out into a folder of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyinfra import host
from pyinfra.api import FactBase, QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from ..catalog import distributions
from ..host.files import File, Folder, place
from ..host.found import Paths
from ..host.look import Beyond, Look, look
from ..host.packages import AptPackages, debs_here, packages
from ..host.steps import Commands
from ..host.system import UserAccount, account
from ..host.units import NO_UNIT, Units, Watched, timer, units_absent
from ..resources import template
from ..run import every_host, executing, memory
from ..settings import ENVIRONMENT, Settings
from ..settings.accounts import DAGS, DAGS_HOME

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
    names = {"settings": settings, "environment": ENVIRONMENT, "home": DAGS_HOME, "user": DAGS}
    git = f"{DAGS_HOME}/git"
    wanted: dict[str, File | Folder] = {
        DAGS_HOME: Folder(),
        # Whatever is made in it belongs to Airflow's group.
        f"{DAGS_HOME}/checkouts": Folder(DAGS, "airflow", "2750"),
        git: Folder(DAGS, DAGS, "700"),
        _SCRIPT: File(template("dags-repository", **names), mode="755"),
        f"/etc/systemd/system/{SERVICE}": File(template(SERVICE, **names)),
        # Else git refuses a repository of somebody else's on this host.
        f"{git}/.gitconfig": File("[safe]\n\tdirectory = *\n", unmarked=True),
        f"{git}/known_hosts": File(
            "".join(f"{x}\n" for x in settings.airflow_dags_known_hosts), unmarked=True
        ),
    }
    if key := settings.secret("airflow_dags_deploy_key").strip():
        wanted[f"{git}/key"] = File(f"{key}\n", DAGS, DAGS, "600", secret=True, unmarked=True)
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
    return f"{DAGS_HOME}/checkouts/{commit}/{settings.airflow_dags_subfolder}".rstrip("/")


def fetch(settings: Settings) -> None:
    """Fetch the commit that all hosts are to use, next to the one in use."""
    packages(name="Install git", packages=distributions.APT["repository"], debs=debs_here(settings))
    account(name=f"Create the user {DAGS}", user=DAGS, home=DAGS_HOME, shell="/usr/sbin/nologin")
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
    yield Look.of(AptPackages, packages=distributions.APT["repository"])
    yield Look.of(UserAccount, user=DAGS)
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


@dataclass(frozen=True)
class Checkout:
    """What a host has of the DAGs' repository."""

    link: str = ""
    """Where the link below the DAGs points to; empty where there is none."""
    commit: str = ""
    """The commit that is used."""
    whole: bool = False
    """Whether its files are as they were."""
    remote: str = ""
    """The commit that the revision has at the remote; empty where that can't be known."""


def commit(have: Checkout) -> str:
    """Return the commit that all hosts are to use; empty where none can be known."""
    chosen = (memory(each).get(_COMMIT) for each in every_host())
    return next(filter(None, chosen), have.remote)


@operation()
def chosen(asked: Question) -> Commands:
    """Make all hosts use the commit that this one sees: the branch may move meanwhile."""
    if executing():
        memory()[_COMMIT] = look(DagsRepository, **asked).remote
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
    folder = QuoteString(f"{DAGS_HOME}/checkouts/{wanted}/{subfolder}")
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
    yield StringCommand("rm -rf", QuoteString(link), _SCRIPT, DAGS_HOME, units)
    yield f"systemctl daemon-reload; systemctl reset-failed {SERVICE} 2>/dev/null; userdel {DAGS}"


class DagsRepository(Beyond, FactBase[Checkout]):
    """What ``script`` says of the repository at ``url``, and where ``link`` points to."""

    default = Checkout

    def command(self, script: str, url: str, revision: str, link: str) -> StringCommand:
        return StringCommand(
            "readlink", QuoteString(link), "|| echo; timeout 120", script, "state",
            QuoteString(url), QuoteString(revision), "2>/dev/null || true",
        )  # fmt: skip

    def process(self, output: list[str]) -> Checkout:
        link, commit, state, remote, *_ = [*output, "", "", "", ""]
        return Checkout(link, commit, state == "same", remote)
