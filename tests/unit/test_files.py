"""Files of somebody else's are kept, and no diff shows a secret."""

import subprocess
from pathlib import Path

import pytest

from tasks.airflow import configuration, reports, repository, services, tools
from tasks.host import masks
from tasks.host.files import File, foreign
from tasks.host.found import MARK, Found, Paths, VariableDigests
from tasks.resources import template
from tasks.servers import monitoring, pgbouncer, rabbitmq, redis
from tasks.servers.postgresql import RIGHTS, rights_changed
from tests.support import made_up

FOUND = Found("root", "root", "644", sha256="x")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("fernet_key = abc", "fernet_key = ***"),
        ("AIRFLOW__CORE__FERNET_KEY=\"a b\"", "AIRFLOW__CORE__FERNET_KEY=***"),
        ("default_pass = it's mine", "default_pass = ***"),
        ("smtp_passwd: x", "smtp_passwd: ***"),
        ('{"token": "a\\"b", "user": "c"}', '{"token": ***, "user": "c"}'),
        ('{"kwargs": {"a": "b"}, "c": 1}', '{"kwargs": ***'),
        ("conn = postgresql+psycopg2://me:p@ss@db/x", "conn = postgresql+psycopg2://***@db/x"),
        ("//nas /mnt cifs username=a,password=b 0 0", "//nas /mnt cifs username=a,password=***"),
        ("dsn = x", "dsn = ***"),
        ("ssl_key = /etc/ssl/mine.key", "ssl_key = /etc/ssl/mine.key"),
        ("ssl_key_file = key.pem", "ssl_key_file = key.pem"),
        ("password_encryption = 'scram-sha-256'", "password_encryption = 'scram-sha-256'"),
        ("url = http://db:8080/x", "url = http://db:8080/x"),
        ("monkey business", "monkey business"),
        ("plain = the given value", "plain = the *** value"),
    ],
)  # fmt: skip
def test_a_diff_masks_what_its_name_or_its_place_tells(line: str, shown: str) -> None:
    assert masks.masked(line, ["given", "x"]) == [shown]


def test_lines_below_the_name_of_a_secret_are_masked() -> None:
    text = "fernet_key =\n    one\n    two\nplain = 3\nsecret_key = a\n  b\n[next]\n"
    shown = ["fernet_key =", "    ***", "    ***", "plain = 3", "secret_key = ***", "  ***"]
    assert masks.masked(text) == [*shown, "[next]"]


def test_the_variables_of_a_secret_file_are_compared_by_digests(tmp_path: Path) -> None:
    have, wanted = 'SAME="1"\nKEY="old\nBASE64=x"\nGONE="3"', 'SAME="1"\nKEY="new"\nMORE="4"\n'
    path = tmp_path / "secrets.env"
    path.write_text(f"{have}\nnot='a variable of ours'\n")
    found = _asked(VariableDigests().command(str(path)).get_raw_value(), "salt\n")
    assert not any(secret in found for secret in ("old", "BASE64", "variable"))
    digests = VariableDigests().process(found.splitlines())
    assert digests["SAME"] == masks.salted("salt", 'SAME="1"')
    ours = {name: masks.salted("salt", text) for name, text in masks.variables(wanted).items()}
    said = "changes KEY; adds MORE; removes GONE"
    assert masks.difference(digests, ours) == said
    assert _asked(VariableDigests().command(str(tmp_path / "none")).get_raw_value(), "s\n") == ""


def test_a_host_says_which_files_have_our_mark(tmp_path: Path) -> None:
    (tmp_path / "ours").write_text("# Managed by pyinfra-airflow.\n")
    (tmp_path / "theirs").write_text("# of the host pyinfra-airflow-1\n")
    (tmp_path / "link").symlink_to("ours")
    (tmp_path / "folder").mkdir()
    paths = tuple(str(tmp_path / name) for name in ("ours", "theirs", "link", "folder", "none"))
    found = Paths().process(_asked(Paths().command(paths).get_raw_value()).splitlines())
    assert [found[path].ours for path in paths[:4]] == [True, False, True, False]
    assert paths[4] not in found


def _asked(command: str, text: str = "") -> str:
    done = subprocess.run(["sh", "-c", command], input=text, capture_output=True, text=True)
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize(
    ("path", "wanted", "have", "expected"),
    [
        ("/etc/rabbitmq/rabbitmq.conf", File(""), FOUND, True),
        ("/etc/rabbitmq/rabbitmq.conf", File(""), None, False),
        ("/etc/rabbitmq/rabbitmq.conf", File(""), Found("a", "a", "644", ours=True), False),
        ("/etc/rabbitmq/airflow.key", File("", unmarked=True), FOUND, False),
        ("/opt/airflow/lib/airflow_probe.py", File(""), FOUND, False),
        ("/opt/airflow-mine/x", File(""), FOUND, True),
        ("/etc/airflow/secrets.env", File(""), FOUND, False),
    ],
)
def test_what_is_foreign(path: str, wanted: File, have: Found | None, expected: bool) -> None:
    assert foreign(path, wanted, have) is expected


def test_every_file_of_ours_can_be_told_from_others(tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text("AUTH_TYPE = 1\n")
    settings = made_up.settings(
        tmp_path / "s",
        airflow_webserver_config=config,
        airflow_dags_repository="https://example.org/dags.git",
        airflow_dags_interval=60,
        redis_password="x",
    )
    files = {
        **configuration.configuration(settings),
        **tools.tools(settings),
        **rabbitmq.configuration(settings),
        **redis.configuration(settings),
        **pgbouncer.configuration(settings),
        **reports.reporter(settings),
        **repository.files(settings),
        **{path: File(text) for path, text in monitoring.texts(settings).items()},
        "/x.service": File(services.unit_text(settings, settings.release.web)),
        "/x.conf": File(template("journald.conf", mebibytes=1)),
    }
    unknown = [
        path
        for path, file in files.items()
        if isinstance(file, File) and MARK not in file.text and foreign(path, file, FOUND)
    ]
    assert unknown == []


def test_what_a_role_gains_and_loses_is_said() -> None:
    flags = {right: right == "rolcanlogin" for right in RIGHTS}
    assert rights_changed(flags, flags) == []
    have = {right: right in ("rolsuper", "rolcreatedb") for right in RIGHTS}
    assert rights_changed(have, flags) == ["gains LOGIN", "loses SUPERUSER, CREATEDB"]
