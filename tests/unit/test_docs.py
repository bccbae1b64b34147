"""The documentation says what the code does, and leads where it says."""

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import topology
from tasks.catalog.releases import GROUPS
from tasks.settings import Settings
from tasks.settings.inventory import PREFIXES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
VARIABLE = "…"
"""What stands in the docs for the parts of a message that differ."""


def headings(page: Path) -> set[str]:
    """Name the anchors of a page, as GitHub and the site both do."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        assert not anchor or anchor in headings(there), target


def test_every_page_is_reached_from_the_readme_and_the_index() -> None:
    pages = {page.name for page in ROOT.glob("docs/*.md")} - {"index.md"}
    for start, folder in (("README.md", "docs/"), ("docs/index.md", "")):
        linked = set(re.findall(rf"\({folder}(\w[\w-]*\.md)[#)]", (ROOT / start).read_text()))
        assert pages - linked == set(), start


def test_the_picture_is_what_the_script_draws() -> None:
    drawn = topology.drawing() == (ROOT / "docs/topology.svg").read_text()
    assert drawn, "scripts/docs draws another one: commit that"


def test_the_picture_has_the_ports_of_the_example() -> None:
    ports = {(row.host, row.port): row.clients for row in topology.rows()}
    assert ports["data1", 5432] == ("scheduler1",)
    assert ports["web1", 443] == (topology.ANYBODY,)
    assert ports["worker1", 8793] == ("web1",)


def test_the_example_of_the_readme_is_an_inventory(tmp_path: Path) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "inventory.py").write_text(text)
    found = runpy.run_path(str(tmp_path / "inventory.py"))
    hosts, data = found["hosts"]
    Settings(**{name: data[name] for name in data if name.startswith(PREFIXES)})
    groups = {name for name, members in found.items() if members == hosts} - {"hosts"}
    assert groups <= set(GROUPS)


def test_every_setting_that_is_mentioned_exists() -> None:
    code = [*ROOT.glob("tasks/**/*.py"), *ROOT.glob("files/monitoring/*")]
    known = "\n".join(path.read_text() for path in code)
    for page in PAGES:
        mentioned = re.findall(rf"`((?:{'|'.join(PREFIXES)})\w+)`", page.read_text())
        assert [name for name in mentioned if name not in known] == [], page.name


def literals(path: Path) -> Iterator[str]:
    """Give the texts of a module, with VARIABLE for what is put in."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            inside.update(map(id, node.values))
            parts = (v.value if isinstance(v, ast.Constant) else VARIABLE for v in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in inside:
            yield str(node.value).replace("{}", VARIABLE)


def test_every_message_of_the_troubleshooting_page_is_one_of_ours() -> None:
    modules = [*ROOT.glob("tasks/**/*.py"), *ROOT.glob("files/host/*/*.py")]
    said = "\n".join(text for path in modules for text in literals(path))
    said = said.replace("'\"'\"'", "'")  # as a shell has it
    page = (ROOT / "docs/troubleshooting.md").read_text()
    messages = re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)
    assert len(messages) > 50
    assert [message for message in messages if message not in said] == []


def files_under(heading: str) -> list[str]:
    """List the files that a section of the architecture page has in its table."""
    page = (ROOT / "docs/architecture.md").read_text()
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_the_modules_of_the_architecture_page_are_those_of_the_package() -> None:
    wings = {path.parent for path in ROOT.glob("tasks/*/__init__.py")}
    named = {ROOT / file for file in files_under("The modules")}
    parts = {ROOT / "tasks/settings", ROOT / "tasks/catalog"}  # each a row for all of its modules
    modules = {path for wing in wings - parts for path in wing.glob("*.py")}
    faces = {wing / "__init__.py" for wing in wings}
    assert named == {*ROOT.glob("tasks/*.py"), *wings, *modules} - faces


@pytest.mark.parametrize("heading", ["Add a server", "Add a release", "Add a setting"])
def test_the_files_to_change_exist(heading: str) -> None:
    files = files_under(heading)
    assert len(files) >= 3
    assert [file for file in files if not list(ROOT.glob(file))] == []


def test_the_next_server_costs_few_files() -> None:
    """Its model is PgBouncer; what else knows of that, does so for its place at the database."""
    knows = re.compile("pgbouncer|PGBOUNCER")
    paths = [path for path in ROOT.glob("tasks/**/*.py") if knows.search(path.read_text())]
    known = {str(path.relative_to(ROOT)) for path in paths}
    listed = {file for file in files_under("Add a server") if file.startswith("tasks/")}
    assert listed <= known
    special = {"before/findings.py", "servers/cluster.py", "settings/placement.py"}
    assert {str(Path(each).relative_to("tasks")) for each in known - listed} == special
    assert len(listed) <= 8
