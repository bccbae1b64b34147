"""Refuse an inventory's wrong settings before any host is connected to.

A deploy's own code runs after the connections are made; this is for pyinfra's ``config.py``.
"""

from __future__ import annotations

import sys

from pyinfra.api import Host, Inventory

from ..run import before_connecting
from .inventory import Settings
from .refusals import is_secret


def check_settings_first() -> None:
    """Check the settings of all hosts before pyinfra connects to any of them.

    A host in no component's group is refused too, if others are in one. SettingsError ends the run
    with one sentence.
    """
    before_connecting(_check)


def _check(inventory: Inventory) -> None:
    settings = {host.name: Settings.of(host) for host in inventory}
    # An inventory without any of our groups is somebody's `pyinfra HOST exec`.
    if any(each.topology.components for each in settings.values()):
        for name, each in settings.items():
            each.check_placed(name)
    if "debug-inventory" in sys.argv:
        for host in inventory:
            _mask_secrets(host)


def _mask_secrets(host: Host) -> None:
    """Mask the secrets that an inventory has as plain text, which pyinfra would print."""
    for name in host.data.dict():
        if name in Settings.model_fields and is_secret(name):
            setattr(host.data, name, "*MASKED*")
