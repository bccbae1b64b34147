"""What a bundle has of .deb files, and where they come from."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tasks import SettingsError
from tasks.catalog import distributions, releases, servers
from tasks.catalog.bundle import Bundle, apt_configuration
from tests.support import made_up
from tests.support.cli import ROOT
from tooling import apt

SUITES = {"bookworm": "trixie", "bookworm-security": "trixie-security"}
LINES = """\
# deb http://archive.example.org/debian bookworm main
deb cdrom:[Debian 12]/ bookworm main
deb [signed-by=/k.gpg arch=amd64] http://archive.example.org/debian bookworm main contrib
deb http://archive.example.org/security bookworm-security main
deb-src http://archive.example.org/debian bookworm main
deb http://archive.example.org/debian bookworm-backports main
deb https://packages.example.org/debian bookworm stable
"""
STANZAS = """\
Types: deb deb-src
# a comment
URIs: mirror+file:/etc/apt/mirrors/debian.list
Suites: bookworm bookworm-backports bookworm-security
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .

Types: deb
URIs: https://packages.example.org/
Suites: bookworm
Components: stable

Enabled: no
Types: deb
URIs: https://old.example.org/
Suites: bookworm
Components: main
"""


def filled(folder: Path, distribution: str, *packages: str) -> Path:
    """Make a bundle with the release's wheel and these .deb files."""
    (folder / "wheels").mkdir()
    (folder / "wheels/apache_airflow-3.3.2-py3-none-any.whl").touch()
    debs = Bundle(folder).debs(distribution)
    debs.mkdir(parents=True)
    for name in packages:
        (debs / f"{name}_1_all.deb").touch()
    stanzas = [f"Package: {name}\nFilename: {name}_1_all.deb\n" for name in packages]
    (debs / "Packages").write_text("\n".join(stanzas))
    return folder


def test_a_step_installs_what_the_table_has_and_so_a_bundle() -> None:
    found = []
    for path in ROOT.glob("tasks/**/*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if type(node) is ast.Call]
        for call in calls:
            words = {word.arg: ast.unparse(word.value) for word in call.keywords}
            if ast.unparse(call.func) == "packages":
                table = r"\w+\.(APT\[|python_packages\()|\w+\.packages$"
                assert re.match(table, words["packages"])
                assert words.get("debs") == "debs_here(settings)"
                found.append(words["packages"])
    with_packages = [each for each in servers.EVERY if each.packages and not each.like]
    exporters = [each for each in servers.EXPORTERS if each.packages]
    assert len(found) + len(exporters) == len(distributions.APT) + len(with_packages) + 1
    everything = distributions.apt_packages(releases.find("1.8.2"), ["kerberos"], "Debian 11")
    assert {"nftables", "postgresql", "rabbitmq-server"} <= set(everything)
    assert {"python2.7", "python3-venv", "gcc", "libkrb5-dev"} <= set(everything)
    assert "valkey-server" not in everything


def test_a_bundle_for_the_release_is_taken(tmp_path: Path) -> None:
    every = distributions.apt_packages(releases.find("3.3.2"), (), "Debian 13")
    packages = distributions.apt_packages(releases.find("3.3.2"), (), "Debian 13", ["redis"])
    assert set(every) - set(packages) == {"valkey-server"}
    (pattern,) = [name for name in packages if name.startswith("^")]
    folder = filled(tmp_path, "Debian 13", *{*packages, "libmicrohttpd12t64"} - {pattern})
    secrets = tmp_path / "secrets.json"
    settings = made_up.settings(secrets, airflow_bundle=folder)
    assert settings.wheelhouse and settings.wheelhouse.folder == folder / "wheels"
    assert settings.lacks_debs("Debian 13") is None
    assert "ca-certificates, collectd-core, curl, git" in str(settings.lacks_debs("Debian 12"))
    (folder / "debs/debian-13/postgresql_1_all.deb").unlink()
    with pytest.raises(SettingsError) as refusal:
        made_up.settings(secrets, airflow_bundle=folder, airflow_extras="kerberos")
    assert str(refusal.value).endswith(
        "postgresql_1_all.deb for Debian 13: fill it with scripts/bundle "
        f"{folder} --release 3.3.2 --distribution 'Debian 13' --extra kerberos"
    )
    (folder / "wheels/apache_airflow-3.3.2-py3-none-any.whl").unlink()
    (folder / "debs/debian-13/postgresql_1_all.deb").touch()
    with pytest.raises(SettingsError, match=r"airflow_bundle .* lacks apache-airflow 3.3.2: fill"):
        made_up.settings(secrets, airflow_bundle=folder)


def test_this_machine_s_mirrors_are_those_of_another_version_too() -> None:
    assert "".join(apt.lines(LINES, SUITES)) == (
        "deb [signed-by=/k.gpg arch=amd64] http://archive.example.org/debian trixie main contrib\n"
        "deb http://archive.example.org/security trixie-security main\n"
    )
    assert list(apt.stanzas(STANZAS, SUITES)) == [
        "Types: deb\n"
        "URIs: mirror+file:/etc/apt/mirrors/debian.list\n"
        "Suites: trixie trixie-security\n"
        "Components: main contrib\n"
        "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n"
    ]


def test_apt_reads_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "apt.conf"
    file.write_text(apt_configuration({"Dir::Cache": "/a folder/"}))
    command = ["apt-config", "-c", str(file), "dump"]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 'Dir::Cache "/a folder/";' in dump
    assert 'Dir::Etc::sourceparts "-";' in dump
    assert "APT::Update::Post-Invoke:" not in dump
