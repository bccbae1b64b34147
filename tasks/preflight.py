"""Refuse an inventory's wrong settings before any host is connected to.

A deploy's own code runs after the connections are made; this is for pyinfra's ``config.py``.
"""

from __future__ import annotations

from typing import Any

from pyinfra.api import Inventory
from pyinfra.context import ctx_state

from .settings import Settings


def check_settings_first() -> None:
    """Have the settings of all hosts checked before pyinfra connects to any of them.

    SettingsError then ends the run with its one sentence. pyinfra has no hook between reading the
    inventory and connecting, so this goes around the step that stands there.
    """
    state = ctx_state.get()
    initialise = state.init

    def init(inventory: Inventory, *args: Any, **kwargs: Any) -> None:
        initialise(inventory, *args, **kwargs)
        for host in inventory:
            Settings.of(host)

    state.init = init
