"""Ports that hosts leave open."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .part import Part
from .types import Networks


class Firewall(Part):
    """Ports that hosts leave open."""

    firewall: bool = False
    """Whether hosts close all ports but those that the inventory needs, and SSH."""
    firewall_allow_ssh: Networks = ()
    """Addresses or networks that may use SSH then; default: everybody."""
    firewall_allow: dict[Annotated[int, Field(ge=1, le=65535)], Networks] = Field(
        default_factory=dict
    )
    """Further TCP ports that are open then, and to whom: `{9100: ["10.0.0.0/8"]}`."""
