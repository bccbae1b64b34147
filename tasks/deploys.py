"""Name a deploy function, keeping the type of what it returns, which pyinfra's decorator drops."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from pyinfra.api import deploy as pyinfra_deploy

Result = TypeVar("Result")


def deploy(name: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Make a function a deploy of pyinfra: it takes global arguments such as ``_sudo`` too."""
    return cast("Callable[[Callable[..., Result]], Callable[..., Result]]", pyinfra_deploy(name))
