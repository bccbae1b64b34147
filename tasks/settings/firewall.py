"""Ports that hosts leave open."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .part import Part
from .types import Networks


class Firewall(Part):
    """Ports that hosts leave open."""

    firewall: bool = False
    """Whether hosts close all ports except SSH and those that the inventory needs."""
    firewall_allow_ssh: Networks = ()
    """Addresses or networks that may use SSH in that case; default: everyone."""
    firewall_allow: dict[Annotated[int, Field(ge=1, le=65535)], Networks] = Field(
        default_factory=dict
    )
    """Further TCP ports to open in that case, and to whom: `{9100: ["10.0.0.0/8"]}`."""
