"""The table of migrations: which Airflow has made a database."""

import json
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import groupby
from pathlib import Path
from threading import Thread

import pytest
from packaging.version import Version

from tasks.catalog import releases, schemas
from tasks.catalog.model import Release
from tasks.resources import resource
from tooling.index import Index
from tooling.schemas import missing, table
from tooling.terminal import ToolError

# What Airflow itself calls the last migrations of its releases, and what has been seen on hosts.
HEADS = {
    "1.8.2": "127d2bf2dfa7",
    "1.10.15": "03afc6b6f902",
    "2.0.0": "e959f08ac86c",
    "2.6.3": "c804e5c76e3e",
    "2.9.1": "1949afb29106",
    "2.9.3": "686269002441",
    "2.11.2": "5f2621c13b39",
    "3.0.6": "fe199e1abd77",
    "3.3.2": "d2f4e1b3c5a7",
}
THREE_HEADS = {"004c1210f153", "6e96a59344a4", "a56c9515abdc"}
WHEEL = "apache_airflow_core-4.0.0-py3-none-any.whl"


@pytest.mark.parametrize("release", releases.RELEASES, ids=lambda release: release.version)
def test_every_release_of_this_package_is_in_the_table(release: Release) -> None:
    assert Version(release.version) in schemas.known()


@pytest.mark.parametrize(("version", "head"), HEADS.items())
def test_a_database_has_the_last_migration_of_its_release(version: str, head: str) -> None:
    assert schemas.heads_of(version) == {head}
    assert version in schemas.releases_at([head])


def test_releases_that_share_heads_follow_each_other() -> None:
    runs = [heads for heads, _ in groupby(schema.heads for schema in schemas.known().values())]
    assert len(set(runs)) == len(runs)
    assert [*schemas.known()] == sorted(schemas.known())


def test_a_migration_that_a_release_has_dropped_does_not_return() -> None:
    rows = json.loads(resource("schemas.json").read_text()).values()
    added = [revision for row in rows for revision in row.get("adds", ())]
    assert len(set(added)) == len(added)


@pytest.mark.parametrize(
    ("made_by", "wanted", "age"),
    [
        ("1.8.2", "1.8.2", "same"),
        ("1.8.1", "1.8.2", "same"),
        ("1.8.2", "1.10.15", "older"),
        ("1.8.2", "2.11.2", "older"),
        ("1.8.2", "3.3.2", "too old"),
        ("1.10.4", "1.10.15", "older"),
        ("1.10.15", "1.8.2", "newer"),
        ("1.10.15", "2.0.0", "older"),
        ("1.10.15", "3.0.6", "too old"),
        ("2.0.0", "1.10.15", "newer"),
        ("2.6.3", "3.0.0", "too old"),
        ("2.7.0", "3.0.0", "older"),
        ("2.9.3", "2.9.1", "newer"),
        ("2.9.3", "2.11.2", "older"),
        ("2.9.3", "3.3.2", "older"),
        ("2.10.3", "2.11.2", "same"),
        ("2.11.2", "2.9.3", "newer"),
        ("2.11.2", "3.0.6", "older"),
        ("3.0.6", "2.11.2", "newer"),
        ("3.0.6", "3.0.2", "newer"),
        ("3.0.6", "3.3.2", "older"),
        ("3.3.2", "3.0.6", "newer"),
        ("3.3.2", "1.8.2", "newer"),
        ("3.3.2", "3.3.9", "same"),
        ("3.0.6", "3.3.9", "older"),
        ("2.11.2", "2.12.0", "unknown"),
    ],
)
def test_a_database_is_older_or_newer_than_a_release(made_by: str, wanted: str, age: str) -> None:
    assert schemas.compare(schemas.heads_of(made_by), wanted) == age


def test_a_part_of_a_releases_heads_is_not_yet_its_state() -> None:
    assert schemas.heads_of("1.10.4") == THREE_HEADS
    part = ["004c1210f153", "6e96a59344a4"]
    assert schemas.releases_at(part) == ()
    assert schemas.compare(part, "1.10.4") == "older"


@pytest.mark.parametrize("revisions", [[], ["0123abc"], ["0123abc", HEADS["2.9.3"]]])
def test_what_no_release_has_is_unknown(revisions: list[str]) -> None:
    assert schemas.compare(revisions, "3.3.2") == "unknown"
    assert schemas.releases_at(revisions) == ()


def test_a_release_that_the_table_lacks_has_the_state_of_its_line() -> None:
    assert schemas.heads_of("3.1.99") == schemas.heads_of("3.1.8") != schemas.heads_of("3.1.0")
    assert schemas.heads_of("2.12.0") == schemas.heads_of("0.9.0") == frozenset()


@pytest.mark.parametrize(
    ("revision", "version"),
    [("e3a246e0dc1", "1.8.1"), ("bbf4a7ad0465", "2.0.0"), ("1949afb29106", "2.9.0"), ("0", "")],
)
def test_a_migration_tells_the_first_release_that_has_it(revision: str, version: str) -> None:
    assert schemas.first_with(revision) == version


@pytest.mark.parametrize(
    ("revisions", "words"),
    [
        (["686269002441"], "Airflow 2.9.2 to 2.9.3"),
        (["d2ae31099d61"], "Airflow 1.9.0"),
        (THREE_HEADS, "Airflow 1.10.4"),
        (["5f2621c13b39"], "Airflow 2.10.3 to 2.11.2"),
        (["ee1467d4aa35"], "between Airflow 2.8.4 and 2.9.0"),
        (["e3a246e0dc1"], "before Airflow 1.8.1"),
        (["0123abc"], "an unknown Airflow (revision 0123abc)"),
        (["f", "0", "1949afb29106"], "an unknown Airflow (revisions 0, f)"),
        ([], "an unknown Airflow (no revision)"),
    ],
)
def test_a_sentence_names_the_airflow(revisions: list[str], words: str) -> None:
    assert schemas.describe(revisions) == words


def test_the_table_is_as_its_script_writes_it() -> None:
    written = json.dumps(table(schemas.known()), indent=1) + "\n"
    assert resource("schemas.json").read_text() == written


def migrations(prefix: str, *pairs: tuple[str, str]) -> dict[str, str]:
    """Make up the files of migrations, each after another one."""
    folder = f"{prefix}airflow/migrations/versions"
    texts = {
        f"{folder}/{number}.py": f"revision: str = '{revision}'\ndown_revision = {before}\n"
        for number, (revision, before) in enumerate(pairs)
    }
    return texts | {f"{folder}/__init__.py": "", f"{prefix}airflow/x.py": "revision = 'x'"}


def wheel(path: Path, files: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def source(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, BytesIO(text.encode()))


def publish(index: Path) -> None:
    """Write the pages of the projects, which pip's clients read."""
    for project in index.iterdir():
        digests = {path.name: sha256(path.read_bytes()).hexdigest() for path in project.iterdir()}
        links = [f'<a href="{name}#sha256={digest}">{name}</a>' for name, digest in digests.items()]
        (project / "index.html").write_text("\n".join(links))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package index that pip's configuration names: a folder of projects."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for name in ("apache-airflow", "apache-airflow-core"):
            (tmp_path / name).mkdir()
        yield tmp_path
        server.shutdown()


def test_the_script_adds_what_the_table_lacks(index: Path) -> None:
    old, new = index / "apache-airflow", index / "apache-airflow-core"
    chain = [("a1", "None"), ("b2", "'a1'"), ("c3", "'a1'")]
    source(old / "apache-airflow-1.9.0.tar.gz", migrations("apache-airflow-1.9.0/", *chain[:1]))
    source(old / "apache-airflow-2.12.0.tar.gz", migrations("apache-airflow-2.12.0/", *chain))
    merged = ("d4", "('b2', 'c3')")
    wheel(new / WHEEL, migrations("", *chain, merged))
    (new / "apache_airflow_core-4.0.0.tar.gz").touch()  # the wheel is enough
    (new / "apache_airflow_core-4.1.0rc1-py3-none-any.whl").touch()
    wheel(old / "apache_airflow-4.0.0-py3-none-any.whl", {})  # holds no migrations since 3.0
    publish(index)
    found = missing({Version("1.9.0"): schemas.known()[Version("1.9.0")]}, Index())
    assert table(found) == {
        "2.12.0": {"heads": ["b2", "c3"], "adds": ["a1", "b2", "c3"]},
        "4.0.0": {"heads": ["d4"], "adds": ["d4"]},
    }


def test_a_package_without_migrations_is_refused(index: Path) -> None:
    wheel(index / "apache-airflow-core" / WHEEL, {"airflow/x.py": ""})
    publish(index)
    with pytest.raises(ToolError, match=rf"{WHEEL} has no migrations"):
        missing({}, Index())
