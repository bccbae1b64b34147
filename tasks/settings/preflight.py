"""Refuse an inventory's wrong settings before any host is connected to.

A deploy's own code runs after the connections are made; this is for pyinfra's ``config.py``.
"""

from __future__ import annotations

import sys
from typing import Any

from pyinfra.api import Host, Inventory
from pyinfra.context import ctx_state

from .inventory import Settings
from .refusals import is_secret


def check_settings_first() -> None:
    """Check the settings of all hosts before pyinfra connects to any of them.

    A host in no component's group is refused too, if others are in one. SettingsError
    ends the run with its one sentence. pyinfra has no hook between reading the inventory and
    connecting, so this goes around the step that stands there.
    """
    state = ctx_state.get()
    initialise = state.init

    def init(inventory: Inventory, *args: Any, **kwargs: Any) -> None:
        initialise(inventory, *args, **kwargs)
        settings = {host.name: Settings.of(host) for host in inventory}
        # An inventory without any of our groups is somebody's `pyinfra HOST exec`.
        if any(each.topology.components for each in settings.values()):
            for name, each in settings.items():
                each.check_placed(name)
        if "debug-inventory" in sys.argv:
            for host in inventory:
                _mask_secrets(host)

    state.init = init


def _mask_secrets(host: Host) -> None:
    """Mask the secrets that an inventory has as plain text, which pyinfra would print."""
    for name in host.data.dict():
        if name in Settings.model_fields and is_secret(name):
            setattr(host.data, name, "*MASKED*")
