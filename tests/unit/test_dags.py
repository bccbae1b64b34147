"""What a delivery of DAGs consists of."""

import base64
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tasks import SettingsError
from tasks.airflow.dags import Delivery, archive, local_files
from tasks.catalog.locks import contradicted, unusable


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_what_python_and_git_keep_for_themselves_is_not_delivered(tmp_path: Path) -> None:
    names = ["a.py", "b/c.py", "b/__pycache__/c.pyc", "old.pyc", ".git/HEAD", "b/.airflowignore"]
    assert list(local_files(made(tmp_path, *names))) == ["a.py", "b/.airflowignore", "b/c.py"]


def test_a_name_that_no_list_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="a file with a line break in its name: "):
        local_files(made(tmp_path, "a\nb.py"))


def test_an_archive_has_the_changed_files_with_owner_and_mode(tmp_path: Path) -> None:
    local = local_files(made(tmp_path, "a.py", "b/c/d.py", "e/f.py"))
    (tmp_path / "a.py").chmod(0o777)
    delivery = Delivery(local, {}, changed=("a.py", "b/c/d.py"), gone=("g.py",), listed=True)
    packed = base64.b64decode("".join(archive(delivery)))
    with tarfile.open(fileobj=BytesIO(packed)) as tar:
        seen = {e.name: (f"{e.mode:o}", e.uname, e.gname) for e in tar if "files" in e.name}
        texts = {e.name: tar.extractfile(e).read().decode() for e in tar if e.isfile()}  # type: ignore[union-attr]
    assert seen == {
        "files": ("755", "root", "airflow"),
        "files/a.py": ("640", "root", "airflow"),
        "files/b": ("755", "root", "airflow"),
        "files/b/c": ("755", "root", "airflow"),
        "files/b/c/d.py": ("640", "root", "airflow"),
    }
    assert texts == {
        "files/a.py": "a.py",
        "files/b/c/d.py": "b/c/d.py",
        "gone": "g.py\n",
        "delivered": "a.py\nb/c/d.py\ne/f.py\n",
    }


def test_a_large_archive_is_sent_in_parts(tmp_path: Path) -> None:
    dice = bytes(n * n % 251 ^ n * 7919 % 256 for n in range(1 << 18))
    (tmp_path / "a.bin").write_bytes(dice)
    delivery = Delivery(local_files(tmp_path), {}, ("a.bin",), (), True)
    lines = archive(delivery)
    assert len(lines) > 1
    assert max(map(len, lines)) <= 48_000
    with tarfile.open(fileobj=BytesIO(base64.b64decode("".join(lines)))) as tar:
        assert tar.extractfile("files/a.bin").read() == dice  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("pandas==2.2.3", None),
        ("six>=1", None),
        ("Six[x]>1.17,<2", "six"),
        ("six==1.17.0", None),
        ("six<1; python_version < '3'", None),
    ],
)
def test_a_requirement_is_compared_with_the_pins(line: str, name: str | None) -> None:
    assert contradicted(line, {"six": "1.17.0"}) == name


def test_a_requirement_has_a_version_or_none() -> None:
    assert unusable("a>=1,<2") is None
    assert "is not a requirement" in str(unusable("--index-url x"))
    assert "can't be installed from a URL" in str(unusable("a @ file:///a.whl"))
