"""A deploy without a package index: its packages come from a wheelhouse."""

from pathlib import Path

from tasks.catalog.wheelhouse import Wheelhouse


def test_the_files_of_the_pins_are_chosen_and_what_sources_are_built_with(tmp_path: Path) -> None:
    names = (
        "Flask_Login-0.2.11.tar.gz", "flask_login-0.6.0-py3-none-any.whl", "notes.txt",
        "setuptools-80.9.0-py3-none-any.whl", "vine-5.1.0-py3-none-any.whl",
    )  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    wheelhouse = Wheelhouse(str(tmp_path))
    assert [path.name for path in wheelhouse.files({"vine": "5.1"})] == [names[4]]
    with_source = wheelhouse.files({"flask-login": "0.2.11", "vine": "5.1.0"})
    assert {path.name for path in with_source} == {names[0], names[3], names[4]}
    assert wheelhouse.missing({"vine": "5.1.0", "kombu": "5.4"}) == ["kombu 5.4"]
    assert Wheelhouse("https://example.org/wheels").missing({"kombu": "5.4"}) == []
