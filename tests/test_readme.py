"""The README tells the truth about the settings and the public names."""

import re
from pathlib import Path

import tasks
from tasks.settings import DERIVED, Settings

README = (Path(__file__).parent.parent / "README.md").read_text()


def rows() -> list[str]:
    """Give the table of settings as the README should have it."""
    fields = {name: f for name, f in Settings.model_fields.items() if name not in DERIVED}
    lines = ["| setting | default | what it is |", "| --- | --- | --- |"]
    for name, field in fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default in (None, (), {}) else f"`{_plain(default)}`"
        lines.append(f"| `{name}` | {shown} | {field.description} |")
    return lines


def _plain(default: object) -> str:
    return ",".join(default) if isinstance(default, tuple) else str(default)


def test_every_setting_has_its_row() -> None:
    assert [row for row in rows() if row not in README] == []
    table = README.split("## Settings")[1].split("## ")[0]
    assert [line for line in table.splitlines() if line.startswith("|")] == rows()


def test_every_public_function_has_its_row() -> None:
    named = set(re.findall(r"^\| `(deploy_\w+)` \|", README, re.MULTILINE))
    assert named == {name for name in tasks.__all__ if name.startswith("deploy_")}


def test_every_group_has_its_row() -> None:
    for component in tasks.releases.GROUPS:
        assert f"| `{component}` |" in README


def test_every_test_that_the_readme_names_exists() -> None:
    for words, module in re.findall(r"\[([^]]+)\]\(tests/(\w+)\.py\)", README):
        name = f"def test_{words.replace(' ', '_')}("
        assert name in (Path(__file__).parent / f"{module}.py").read_text(), (module, words)
