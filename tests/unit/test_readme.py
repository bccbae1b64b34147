"""The README and the pages that it leads to tell the truth about settings and public names."""

import re
from pathlib import Path

import pytest

import tasks
from docs import tables
from tasks.catalog.releases import GROUPS, RELEASES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
FUNCTIONS = {name for name in tasks.__all__ if name.startswith("deploy_")}


def page(path: str) -> str:
    return (ROOT / path).read_text()


def test_the_readme_is_read() -> None:
    assert len(page("README.md").splitlines()) <= 200


def test_every_setting_has_its_row() -> None:
    text = page("docs/settings.md")
    assert [line for line in text.splitlines() if tables.named(line)] == [*tables.rows().values()]


def test_the_row_of_a_new_setting_comes_after_the_one_before_it() -> None:
    text = page("docs/settings.md")
    lines = text.splitlines(keepends=True)
    without = [line for line in lines if "`airflow_bundle`" not in line.split("|")[:2][-1]]
    old = "".join(without).replace("Release of Airflow to install.", "Whatever it was.")
    assert len(without) == len(lines) - 1
    assert tables.refreshed(old) == text


def test_every_public_function_has_its_row() -> None:
    found = re.findall(r"^\| `(deploy_\w+)` \|", page("docs/library.md"), re.MULTILINE)
    assert sorted(found) == sorted(FUNCTIONS)


def test_every_group_has_its_row() -> None:
    for component in GROUPS:
        assert f"| `{component}` |" in page("docs/inventory.md")


@pytest.mark.parametrize("path", ["README.md", "docs/releases.md"])
def test_every_release_has_its_row(path: str) -> None:
    for release in RELEASES:
        pythons = sorted(release.pythons, key=lambda version: int(version.split(".")[1]))
        shown = " to ".join(dict.fromkeys((pythons[0], pythons[-1])))
        assert f"| {release.version} | {shown} |" in page(path)


def test_every_test_that_the_comparison_names_exists() -> None:
    named = re.findall(r"\[([^]]+)\]\(\.\./tests/(\w+/\w+)\.py\)", page("docs/comparison.md"))
    assert len(named) > 60
    for words, module in named:
        name = f"def test_{words.replace(' ', '_')}("
        assert name in (ROOT / f"tests/{module}.py").read_text(), (module, words)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_exists(path: Path) -> None:
    text = path.read_text()
    assert set(re.findall(r"\btasks[.:](deploy_\w+)", text)) <= FUNCTIONS
    files = re.findall(r"\b((?:scripts|benchmarks|inventories)/\w+(?:\.\w+)?)", text)
    assert [
        file for file in files if file != "inventories/new.py" and not (ROOT / file).exists()
    ] == []
