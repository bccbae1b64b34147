"""The files and templates that stand beside this package."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_ROOT = Path(__file__).resolve().parent.parent


def resource(name: str) -> Path:
    """Give the absolute path of ``files/<name>``."""
    return _ROOT / "files" / name


def template(name: str, **values: object) -> str:
    """Render ``templates/<name>.j2``; a value that the template lacks is an error."""
    return _environment().get_template(f"{name}.j2").render(**values)


@cache
def _environment() -> Environment:
    """Give what keeps the templates that it has compiled: each host needs them again."""
    return Environment(
        loader=FileSystemLoader(_ROOT / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
