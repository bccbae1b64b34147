"""The host itself: base packages, Airflow's user and folders, a name that resolves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import IO

from pyinfra import host
from pyinfra.api import FileUploadCommand, QuoteString, StringCommand, operation

from . import budget, releases
from .bundle import apt_configuration
from .deploys import deploy
from .facts import (
    APT_STAMP,
    JOURNAL,
    SWAP_FILE,
    Account,
    AptFiles,
    AptPackages,
    Found,
    HostSystem,
    Paths,
    UserAccount,
)
from .look import Look, look
from .operations import (
    Commands,
    File,
    Folder,
    digest,
    edited,
    has_block,
    kept,
    place,
    refused,
    with_block,
    without_block,
)
from .resources import template
from .settings import CONFIGURATION, ENVIRONMENT, LOGS, Settings, SettingsError

_LOCK_WITHIN = 600
"""Seconds to wait for another process that holds one of apt's locks, such as a new host's own."""

CLOCK_WITHIN = 30
"""Seconds by which a host's clock may differ from this machine's."""

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

DELIVERED = "/var/lib/pyinfra-airflow"
"""Where a host has the bundle's files while it installs them."""
_APT_CONF = f"{DELIVERED}/apt.conf"
_APT_FILES = {
    "apt.conf": apt_configuration(
        {
            "Dir::State::lists": f"{DELIVERED}/lists/",
            "Dir::Cache": f"{DELIVERED}/cache/",
            "Dir::Etc::sourcelist": f"{DELIVERED}/sources.list",
            "APT::Sandbox::User": "root",
        }
    ),
    # The index has the checksums of the archive, whose key the controller's apt has checked.
    "sources.list": f"deb [trusted=yes] file:{DELIVERED} ./\n",
}
_NOT_FROM_BUNDLE = (
    ' || { echo "the packages could not be installed from airflow_bundle: if this host has newer'
    ' ones than the bundle, fill that again with scripts/bundle" >&2; false; }'
)


@operation()
def packages(packages: Sequence[str], *, debs: Path | None = None, masked: str = "") -> Commands:
    """Install apt packages, with lists of today, waiting while another process holds apt's locks.

    Lists grow old every day; that alone is no change. With the folder ``debs`` of a bundle no
    mirror is asked. ``masked`` is a unit that they would start, and that stays off; where they are
    there already it is somebody's, and left alone.
    """
    have = look(AptPackages, packages=tuple(packages))
    missing = [name for name in packages if name not in have.installed]
    if not missing:
        host.noop(f"{', '.join(packages)} are installed")
        return
    if masked:
        yield f"systemctl mask -q {masked}"
    if debs:
        yield from _from_bundle(debs, missing)
        return
    if not have.fresh:
        yield _UPDATE
    yield StringCommand(_INSTALL, *map(QuoteString, missing))


def _from_bundle(debs: Path, packages: Sequence[str]) -> Commands:
    """Carry to the host what it lacks, install that, and leave nothing of it behind."""
    yield f"rm -rf {DELIVERED} && mkdir -p {DELIVERED}/lists/partial {DELIVERED}/cache"
    for name, text in _APT_FILES.items():
        yield _delivered(StringIO(text), name)
    yield _delivered(str(debs / "Packages"), "Packages")
    yield f"apt-get -c {_APT_CONF} update -q"
    for name in host.get_fact(AptFiles, configuration=_APT_CONF, packages=tuple(packages)):
        yield _delivered(str(debs / name), name)
    words = map(QuoteString, packages)
    yield StringCommand(
        _INSTALL, "-c", _APT_CONF, *words, _NOT_FROM_BUNDLE, f"&& rm -r {DELIVERED}"
    )


def _delivered(source: str | IO[str], name: str) -> FileUploadCommand:
    target = f"{DELIVERED}/{name}"
    return FileUploadCommand(source, target, host.get_temp_filename(target))


def debs_here(settings: Settings) -> Path | None:
    """Return the bundle's folder for the host's distribution; None without a bundle.

    SettingsError says what a bundle lacks.
    """
    if settings.bundle is None:
        return None
    distribution = look(HostSystem).distribution
    if sentence := settings.lacks_debs(distribution):
        raise SettingsError(f"host {host.name}: {sentence}")
    return settings.bundle.debs(distribution)


def certificate_files(settings: Settings, server: str, folder: str, group: str) -> dict[str, File]:
    """Return certificate and key of our own server with TLS, for the ``group`` it runs as."""
    given = settings.servers[server]
    certificate, key = given.certificate, given.certificate_key
    if not (given.tls and certificate and key):
        return {}
    return {
        f"{folder}/airflow.crt": File(certificate.read_text(), unmarked=True),
        f"{folder}/airflow.key": File(
            key.read_text(), group=group, mode="640", secret=True, unmarked=True
        ),
    }


@deploy("System")
def deploy_system(settings: Settings | None = None) -> None:
    """Prepare a host for the components; ``settings`` default to the host's data.

    SettingsError if the clock is wrong or there is too little memory.
    """
    settings = of_this_host(settings)
    check_clock(look(HostSystem).ahead)
    packages(
        name="Install the base packages",
        packages=releases.APT["system"],
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


def of_this_host(settings: Settings | None = None) -> Settings:
    """Complete settings as ``Settings.of`` does, and by the memory of the host.

    SettingsError has the sum where its components don't fit.
    """
    settings = Settings.of(host, settings)
    try:
        return budget.fitted(settings, look(HostSystem).machine)
    except SettingsError as error:
        raise SettingsError(f"host {host.name} {error}") from None


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
    yield Look.of(AptPackages, packages=releases.APT["system"])
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
