"""Helpers of hosts without a host: how they are delivered, and what they read there."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import airflow_database
import airflow_imports
import airflow_keys
import airflow_probe
import airflow_sql
from tasks.airflow import tools
from tests.support import made_up
from tests.support.cli import ROOT

HELPERS = sorted(ROOT.glob("files/host/*/*.py"))
OF_PYTHON_3 = ("login_1_10.py", "login_fab.py")
ONLY_PYTHON_3 = (
    ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Nonlocal, ast.YieldFrom, ast.Await,
    ast.AsyncFunctionDef, ast.Match,
)  # fmt: skip
URL = (
    "postgresql+psycopg2://flow:p%40ss@db.example.com:6432/air?sslmode=verify-full&sslrootcert=/ca"
)


def test_a_name_says_which_helper() -> None:
    assert [
        name for name, times in Counter(path.name for path in HELPERS).items() if times > 1
    ] == []


def modern(text: str) -> list[int]:
    """Return the lines with syntax that Python 2.7 does not know."""
    found = [text[: match.start()].count("\n") + 1 for match in re.finditer(r"\*\w+,\s*\)", text)]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arguments) and (node.kwonlyargs or node.posonlyargs):
            found.append(node.kwonlyargs[0].lineno if node.kwonlyargs else 0)
        if isinstance(node, (ast.List, ast.Set, ast.Tuple)):
            found += [each.lineno for each in node.elts if isinstance(each, ast.Starred)]
        new = isinstance(node, ONLY_PYTHON_3)
        new |= isinstance(node, ast.Raise) and node.cause is not None
        new |= isinstance(node, ast.arg) and node.annotation is not None
        new |= isinstance(node, ast.FunctionDef) and node.returns is not None
        if new:
            found.append(getattr(node, "lineno", 0))
    return found


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.name)
def test_python_2_reads_a_helper(path: Path) -> None:
    assert bool(modern(path.read_text())) == (path.name in OF_PYTHON_3)


@pytest.mark.parametrize(
    "line",
    ["f(**more,)", "def f(a: int): pass", "def f() -> int: pass", "def f(*, a): pass", "f'{x}'",
     "[*a]", "def f():\n    raise A from b", "x: int = 1"],
)  # fmt: skip
def test_newer_syntax_is_noticed(line: str) -> None:
    assert modern(line)


def test_the_tools_need_no_other_file_of_ours(tmp_path: Path) -> None:
    """An upgrade calls them before it delivers the rest."""
    for path, tool in tools.tools(made_up.settings(tmp_path / "secrets.json")).items():
        if path.endswith(".py"):
            (tmp_path / Path(path).name).write_text(tool.text)
    own = {path.stem for path in HELPERS}
    placed = {file.stem: file for file in tmp_path.glob("*.py")}
    for file in placed.values():
        nodes = ast.walk(ast.parse(file.read_text()))
        assert {node.module for node in nodes if isinstance(node, ast.ImportFrom)} & own <= set(
            placed
        )
    words = [sys.executable, str(tmp_path / "airflow_probe.py"), "0", '["revisions"]', '["age"]']
    done = subprocess.run(words, env={}, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("unknown\nunknown\n", 1)
    assert "not enough values to unpack" in done.stderr  # no URL, and no module is missing


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("postgresql+psycopg2://a:b@c/d", "postgresql://a:b@c/d"),
        ("db+postgresql://a:b@c/d?sslmode=require", "postgresql://a:b@c/d?sslmode=require"),
        ("postgresql://a:postgresql+x:@c/d", "postgresql://a:postgresql+x:@c/d"),
    ],
)
def test_a_url_is_one_of_postgresql_s_own(url: str, plain: str) -> None:
    assert airflow_sql.for_libpq(url) == plain


@pytest.mark.parametrize("section", ["CORE", "DATABASE"])
def test_the_metadata_database_is_the_one_of_the_environment(
    section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"AIRFLOW__{section}__SQL_ALCHEMY_CONN"
    monkeypatch.setenv(name, URL)
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC", "other")
    monkeypatch.setenv("AIRFLOW__CELERY__RESULT_BACKEND", "results")
    assert airflow_sql.variable(airflow_sql.METADATA) == name
    assert airflow_sql.variable(airflow_sql.RESULTS) == "AIRFLOW__CELERY__RESULT_BACKEND"


def test_dumps_pass_by_pgbouncer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__SQL_ALCHEMY_CONN", URL)
    monkeypatch.setenv("AIRFLOW_DATABASE_PORT", "5432")
    found = airflow_database.environment()
    assert {name: found[name] for name in found if name.startswith("PG")} == {
        "PGHOST": "db.example.com",
        "PGPORT": "5432",
        "PGUSER": "flow",
        "PGPASSWORD": "p@ss",
        "PGDATABASE": "air",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca",
    }
    monkeypatch.delenv("AIRFLOW_DATABASE_PORT")
    assert airflow_database.environment()["PGPORT"] == "6432"


def test_the_last_migrations_are_those_that_none_follows(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    for revision, before in (("a1", "None"), ("b2", '"a1"'), ("c3", "'a1'"), ("d4", '("b2",)')):
        text = f'"""revises {before}"""\nrevision: str = "{revision}"\ndown_revision = {before}\n'
        (tmp_path / f"versions/{revision}.py").write_text(text)
    assert airflow_probe.heads(str(tmp_path)) == {"c3", "d4"}


@pytest.mark.parametrize(
    ("section", "key", "reason"),
    [
        ("core", "parallelism", None),
        ("core", "paralelism", "did you mean parallelism?"),
        ("core", "xyz", "this release has no such key"),
        ("core", "sql_alchemy_conn", "it has become [database] sql_alchemy_conn"),
        ("somebody", "anything", None),
    ],
)
def test_an_unknown_key_is_explained(section: str, key: str, reason: str | None) -> None:
    sections = {"core": ["parallelism"], "database": ["sql_alchemy_conn"]}
    older = {("database", "sql_alchemy_conn"): ("core", "sql_alchemy_conn", "2.3.0")}
    assert airflow_keys.why_not(section, key, sections, older) == reason


def test_dags_are_imported_from_the_folder_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_DAGS_REPOSITORY", raising=False)
    alone = airflow_imports.environment("/new", "")
    assert alone["AIRFLOW__CORE__DAGS_FOLDER"] == "/new"
    assert alone.keys().isdisjoint({"AIRFLOW_DAGS_REPOSITORY", "AIRFLOW__CORE__PLUGINS_FOLDER"})
    monkeypatch.setenv("AIRFLOW_DAGS_REPOSITORY", "/var/lib/airflow/dags/repository")
    both = airflow_imports.environment("/new", "/plugins")
    assert both["AIRFLOW_DAGS_REPOSITORY"] == "/new/repository"
    assert both["AIRFLOW__CORE__PLUGINS_FOLDER"] == "/plugins"


def test_airflow_1_s_message_becomes_a_traceback_of_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "report.py"
    file.write_text("import os\nimport no_such_module\n")
    text = airflow_imports.with_traceback(str(file), "No module named no_such_module")
    assert text.startswith(
        f'Traceback (most recent call last):\n  File "{file}", line 2, in <module>'
    )
    assert text.endswith("ModuleNotFoundError: No module named 'no_such_module'\n")
    assert airflow_imports.with_traceback("/x.zip", "bad") == "bad"
