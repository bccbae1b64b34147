"""The host itself: base packages, swap, journal, host names, Airflow's user and folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyinfra import host
from pyinfra.api import FactBase, QuoteString, StringCommand, operation

from ..catalog import distributions
from ..deploys import deploy
from ..resources import template
from ..settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings, SettingsError
from .blocks import has_block, with_block, without_block
from .files import File, Folder, edited, kept, place
from .found import Found, Paths, digest
from .look import Look, look
from .machine import JOURNAL, SWAP_FILE, HostSystem, of_this_host
from .packages import AptPackages, debs_here, packages
from .steps import Commands, refused


@dataclass(frozen=True)
class Account:
    """A user of the host."""

    home: str
    shell: str


class UserAccount(FactBase[Account | None]):
    """The account of ``user``; None when there is none."""

    @staticmethod
    def default() -> Account | None:
        return None

    def command(self, user: str) -> StringCommand:
        return StringCommand("getent passwd", QuoteString(user), "|| true")

    def process(self, output: list[str]) -> Account | None:
        *_, home, shell = output[0].split(":")
        return Account(home, shell)


CLOCK_WITHIN = 30
"""Seconds by which a host's clock may differ from this machine's."""


@deploy("System")
def deploy_system(settings: Settings | None = None) -> None:
    """Prepare a host for the components; ``settings`` default to the host's data.

    SettingsError if the clock is wrong or there is too little memory.
    """
    settings = of_this_host(settings)
    check_clock(look(HostSystem).ahead)
    packages(
        name="Install the base packages",
        packages=distributions.APT["system"],
        debs=debs_here(settings),
    )
    swap(name="Set up the swap file", mebibytes=settings.airflow_swap or 0)
    journal(name="Limit the journal's size", mebibytes=settings.airflow_journal_size)
    host_names(name="Add the hosts' names to /etc/hosts", lines=settings.topology.names)
    if settings.airflow_components:
        account(
            name="Create the user airflow",
            user="airflow",
            home=settings.airflow_home,
            shell="/usr/sbin/nologin",
        )
        place(_folders(settings))


def check_clock(ahead: float) -> None:
    """Refuse a clock with which the hosts don't believe each other.

    The web UI's requests for a task's log are good for Airflow's ``log_request_clock_grace``, which
    is 30 seconds.
    """
    if abs(ahead) > CLOCK_WITHIN:
        where = "ahead of" if ahead > 0 else "behind"
        raise SettingsError(
            f"the clock of {host.name} is {abs(ahead):.0f} s {where} this machine's: set both"
            " by NTP, with timedatectl set-ntp true"
        )


def _folders(settings: Settings) -> dict[str, File | Folder]:
    home = settings.airflow_home
    own = Folder("airflow", "airflow", "750")
    return {
        **dict.fromkeys((home, f"{home}/dags", f"{home}/plugins", LOGS), own),
        **dict.fromkeys((ENVIRONMENT, f"{ENVIRONMENT}/bin", f"{ENVIRONMENT}/lib"), Folder()),
        CONFIGURATION: Folder(group="airflow", mode="750"),
    }


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_system` ask."""
    yield Look.of(AptPackages, packages=distributions.APT["system"])
    if settings.airflow_components:
        yield Look.of(UserAccount, user="airflow")
        yield Look.of(Paths, paths=tuple(_folders(settings)))


@operation()
def swap(mebibytes: int) -> Commands:
    """Create a swap file of at least so many MiB and use it, after a reboot too.

    A larger one stays: to take swap away needs memory that may not be there.
    """
    have = look(HostSystem)
    line = f"{SWAP_FILE} none swap sw 0 0"
    known = [entry for entry in have.fstab if entry.split()[:1] == [SWAP_FILE]]
    if mebibytes == 0 or (have.swap_file >= mebibytes - 1 and known):
        host.noop(f"{SWAP_FILE} has at least {mebibytes} MiB")
        return
    if have.swap_file < mebibytes - 1:
        yield (
            f"umask 077; {{ swapoff {SWAP_FILE}; rm -f {SWAP_FILE}; }} 2>/dev/null;"
            f" mkdir -p $(dirname {SWAP_FILE}) && fallocate -l {mebibytes}M {SWAP_FILE}"
            f" && mkswap {SWAP_FILE} >/dev/null && swapon {SWAP_FILE}"
        )
    if not known:
        yield from edited("/etc/fstab", [*have.fstab, line], ours=False)


@operation()
def journal(mebibytes: int | None) -> Commands:
    """Limit the journal to so many MiB; with None the host's own limits apply."""
    have = look(HostSystem)
    text = template("journald.conf", mebibytes=mebibytes) if mebibytes else ""
    if have.journal == (text and digest(text)) or not (text or have.journal_ours):
        host.noop(f"the journal takes at most {mebibytes or 'what the host says'}")
        return
    # In one command, since journald does not tell what it has read.
    again = "systemctl restart systemd-journald"
    if not text:
        yield f"rm -f {JOURNAL} && {again}"
        return
    found = Found("root", "root", "644", ours=have.journal_ours) if have.journal else None
    yield from kept(JOURNAL, File(text), found)
    yield StringCommand(
        f"umask 022 && mkdir -p $(dirname {JOURNAL}) && cat > {JOURNAL}.new",
        f"&& mv -fT {JOURNAL}.new {JOURNAL} && {again}",
        _stdin=text.removesuffix("\n"),
    )


@operation()
def host_names(lines: Sequence[str]) -> Commands:
    """Make the names of all hosts resolve on each of them, even without DNS.

    Airflow and RabbitMQ expect a host's own name to resolve.
    """
    have = look(HostSystem).names
    wanted = with_block(have.hosts, lines) if lines else without_block(have.hosts)
    if not have.resolves and not any(have.own in line.split()[1:] for line in lines):
        wanted.append(f"127.0.1.1\t{have.own}")
    if wanted == list(have.hosts):
        host.noop("/etc/hosts names every host")
        return
    yield from edited("/etc/hosts", wanted, ours=has_block(have.hosts))


@operation()
def account(user: str, home: str, shell: str) -> Commands:
    """Create a system user with a group of the same name."""
    have = look(UserAccount, user=user)
    if have == Account(home, shell):
        host.noop(f"the user {user} is as it should be")
        return
    if have and not have.shell.endswith(("nologin", "false")):
        yield from refused(f"the account {user} is one that someone logs in to: rename it")
        return
    name = QuoteString(user)
    options = ("--home", QuoteString(home), "--shell", QuoteString(shell), name)
    if have:
        yield StringCommand("usermod", *options)
        return
    yield StringCommand(
        "getent group", name, ">/dev/null || groupadd --system", name,
        "&& useradd --system --no-create-home --gid", name, *options,
    )  # fmt: skip


@operation()
def swap_absent() -> Commands:
    """Remove our swap file, now and after a reboot."""
    have = look(HostSystem)
    rest = [line for line in have.fstab if line.split()[:1] != [SWAP_FILE]]
    if have.swap_file:
        yield f"swapoff {SWAP_FILE}"
    if len(rest) < len(have.fstab):
        yield from edited("/etc/fstab", rest, ours=True)
    elif not have.swap_file:
        host.noop(f"{SWAP_FILE} is not used")


@operation()
def account_absent(user: str) -> Commands:
    """Remove a user."""
    if not look(UserAccount, user=user):
        host.noop(f"there is no user {user}")
        return
    yield StringCommand("userdel", QuoteString(user))
