"""The package index."""

from __future__ import annotations

from . import urls
from .part import Part
from .types import Secret


class Index(Part):
    """The package index."""

    python_index_url: Secret | None = None
    """Package index instead of PyPI; may contain a login, and is not shown."""
    python_extra_index_url: Secret | None = None
    """An additional package index."""
    python_proxy: Secret | None = None
    """HTTP proxy to the package index."""


def _no_urls(index: Index) -> str | None:
    names = ("python_index_url", "python_extra_index_url", "python_proxy")
    return next(filter(None, (urls.refusal(name, index.secret(name)) for name in names)), None)


CHECKS = (_no_urls,)
