"""How the package is built: short modules and functions, and one module for pyinfra's internals.

Which folder may import which is a contract in setup.cfg, which scripts/check checks.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import ROOT

MODULES = sorted(ROOT.glob("tasks/**/*.py"))
INSIDE = "run.py"
ATTRIBUTES = {"connector", "connector_cls", "connector_data", "current_op_global_arguments"}
DOCUMENTED = {
    "pyinfra": {"host", "logger"},
    "pyinfra.api": {
        *("FactBase", "operation", "deploy", "Host", "Inventory"),
        *("StringCommand", "FunctionCommand", "FileUploadCommand", "FileDownloadCommand"),
        *("QuoteString", "MaskString"),
    },
    "pyinfra.api.exceptions": {"ConnectError", "DeployError"},
    "pyinfra.api.operation": {"OperationMeta"},
    "pyinfra.operations": {"files"},
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / "tasks"))


def test_no_module_is_too_long() -> None:
    long = {name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {each: lines for each, lines in long.items() if lines > 400} == {}


def functions() -> Iterator[tuple[str, int]]:
    """Yield every function with its number of lines, without signature and docstring."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                yield f"{name(path)}:{node.name}", lines


def test_no_function_is_too_long() -> None:
    assert [(each, lines) for each, lines in functions() if lines > 40] == []


def inside(path: Path) -> Iterator[str]:
    """Yield what a module uses of pyinfra beyond its documented interface."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and re.match(r"pyinfra\b", node.module or ""):
            module = node.module or ""
            names = {alias.name for alias in node.names}
            yield from (f"{module}.{each}" for each in names - DOCUMENTED.get(module, set()))
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("pyinfra"))
        elif isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            yield node.attr


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_one_module_touches_the_internals_of_pyinfra(path: Path) -> None:
    assert bool(list(inside(path))) == (name(path) == INSIDE), list(inside(path))
