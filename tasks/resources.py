"""The files and templates next to this package."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_ROOT = Path(__file__).resolve().parent.parent


def resource(name: str) -> Path:
    """Return the absolute path of ``files/<name>``."""
    return _ROOT / "files" / name


def helper_file(name: str) -> Path:
    """Return the path of a file that hosts get as lib/``name``, in whichever folder it is here."""
    (found,) = (_ROOT / "files/host").glob(f"*/{name}")
    return found


def helper_names(folder: str) -> tuple[str, ...]:
    """Return the names of the files in ``files/host/<folder>``."""
    return tuple(sorted(path.name for path in (_ROOT / "files/host" / folder).glob("*.py")))


def template(name: str, **values: object) -> str:
    """Render ``<name>.j2`` of a folder in ``templates``; a value that it lacks is an error."""
    return _environment().get_template(f"{name}.j2").render(**values)


@cache
def _environment() -> Environment:
    """Return what keeps the templates that it has compiled: each host needs them again."""
    return Environment(
        loader=FileSystemLoader(sorted((_ROOT / "templates").glob("*/"))),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
