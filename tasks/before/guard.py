"""Refuse, before the first change on any host, what one look at all of them forbids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyinfra import host, logger
from pyinfra.api import QuoteString, StringCommand, operation

from ..deploys import deploy
from ..host.steps import Commands
from ..run import memory
from ..settings import Settings, SettingsError
from .findings import described, findings, removals
from .metadata import database
from .stored import Stored
from .survey import KEY, MARKED, Site, everywhere, fingerprints, generated, seen

_GUARDED = "airflow_guarded"
"""What a host's connector data has once it was looked at."""


def guarded(
    settings: Settings, *, alone: bool = False, replacing: bool = False
) -> Mapping[str, Site]:
    """Look at the hosts of this run, or ``alone`` at this one, and give what is there.

    SettingsError has a sentence for everything that forbids the run. With ``replacing`` there is
    consent to lose what the database holds.
    """
    sites = everywhere(settings, alone=alone)
    memory()[_GUARDED] = True
    if refused := findings(sites, replacing=replacing):
        raise SettingsError("\n".join(refused))
    _tell(sites[host.name])
    return sites


def guard_removal(settings: Settings) -> None:
    """Look at the hosts before an uninstall, and refuse to remove what is not ours."""
    if refused := removals(everywhere(settings)):
        raise SettingsError("\n".join(refused))


def guard_alone(settings: Settings, component: str = "") -> None:
    """Do the same for a component that is deployed by itself, whatever the inventory says of it."""
    if _GUARDED in memory():
        return
    topology = settings.topology
    here = topology.components.union([component] if component else ())
    wanted = topology.model_copy(update={"components": here})
    guarded(settings.model_copy(update={"topology": wanted}), alone=True)


def held_in(sites: Mapping[str, Site]) -> Stored | None:
    """Return what the metadata database holds; None where there is none, or nobody can ask it."""
    return next((site.seen.stored for site in sites.values() if site.seen.stored), None)


def holds_nothing(sites: Mapping[str, Site]) -> bool:
    """Return whether it is known that the metadata database has no table yet."""
    asked = [site.seen for site in sites.values() if site.holds_database]
    return bool(asked) and not any(seen.stored or seen.unknown for seen in asked)


def _tell(site: Site) -> None:
    """Report what another Airflow has left on a host that is not ours yet."""
    seen = site.seen
    if seen.current or not site.settings.airflow_components:
        return
    if words := described(seen):
        host.log(f"another Airflow has left traces: {words}", logger.warning)


@deploy("Mark")
def deploy_mark(settings: Settings) -> None:
    """Mark a host as ours, so that a run with another Fernet key is refused there."""
    wanted = mark(settings, settings.secrets_file(host))
    marked(name=f"Write {MARKED}", have=seen(settings).marked, wanted=wanted)


def mark(settings: Settings, file: Path) -> dict[str, str]:
    """Return what tells our hosts from others, and the secrets that they have from others."""
    own = generated(settings, file)
    return {
        "fernet": " ".join(sorted(fingerprints(settings.secret(KEY)))),
        # A rotation changes the Fernet key in the file after this.
        "secrets": " ".join(f"{name}:{own[name]}" for name in sorted(own) if name != KEY),
        "database": database(settings),
    }


@operation()
def marked(have: Mapping[str, str], wanted: Mapping[str, str]) -> Commands:
    """Write the mark."""
    if have == wanted:
        host.noop(f"{MARKED} is as it should be")
        return
    lines = [f"{word} {what}" for word, what in wanted.items()]
    yield StringCommand(
        "umask 077; cat >",
        f"{MARKED}.new && mv -fT {MARKED}.new",
        QuoteString(MARKED),
        _stdin=lines,
    )
