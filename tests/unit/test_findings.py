"""What one look at the hosts forbids, from what the look has printed to the sentences."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tasks.before.findings import findings, removals
from tasks.before.metadata import database
from tasks.before.survey import Site, fingerprint, fingerprints, read
from tasks.catalog import schemas
from tasks.settings import Settings
from tests.support import made_up

HOST = "192.0.2.10"
KEY, OTHER = (Fernet.generate_key().decode() for _ in range(2))
OURS = [
    f"name one one.example.com {HOST}",
    "current 3.3.2",
    "port 8080 17 python airflow-api-server.service",
    "port 5432 18 postgres postgresql@15-main.service",
    "folder airflow /var/lib/airflow",
    "folder root /opt/airflow",
    *(f"environment {each}" for each in ("3.3.2-5a237adb", "bin", "bootstrap", "current", "lib")),
    *(f"configuration {each}" for each in ("airflow.env", "secrets.env", "postgresql-ca.crt")),
    "account airflow:x:999:997::/var/lib/airflow:/usr/sbin/nologin|process 7, python3",
    "node rabbit@localhost",
    "broker ours",
    "client 15",
    "cluster ours",
    "database airflow 9",
    "database shop 1",
]


def head(release: str) -> str:
    (revision,) = schemas.heads_of(release)
    return json.dumps({"revision": revision})


def rows(**numbers: int) -> list[str]:
    return [json.dumps({"count": what, "rows": number}) for what, number in numbers.items()]


def secret(name: str, key: str) -> str:
    token = Fernet(key.encode()).encrypt(b"s3cret").decode()
    return json.dumps({"secret": name, "token": token})


def job(host: str, user: str = "airflow", age: int = 3) -> str:
    return json.dumps({"job": "SchedulerJob", "host": host, "user": user, "age": age})


def site(lines: list[str], folder: Path, *, own: bool = True, **data: Any) -> Site:
    given = {"airflow_fernet_key": KEY, **data}
    settings: Settings = made_up.settings(folder / "secrets.json", **given)
    kept = {"airflow_fernet_key": fingerprint(KEY)} if own else {}
    return Site(settings, read(lines), folder / "secrets.json", kept)


def refused(lines: list[str], folder: Path, *, replacing: bool = False, **data: Any) -> list[str]:
    return findings({HOST: site(lines, folder, **data)}, replacing=replacing)


def mark(key: str, place: str = "inventory/airflow") -> list[str]:
    return [f"marked fernet {' '.join(fingerprints(key))}", f"marked database {place}"]


SCHEMA = [head("3.3.2"), *rows(tables=71, runs=4, connections=1)]

FINE: dict[str, list[str]] = {
    "a bare host": ["name one"],
    "a host of ours": [*OURS, *mark(KEY), *SCHEMA, secret("connection a", KEY), job("one")],
    "one that an older package has deployed": [*OURS, *SCHEMA, job(HOST)],
    "a key of which one of two is the host's": [*OURS, *mark(f"{KEY},{OTHER}"), *SCHEMA],
    "our cluster that is stopped": [*OURS, *mark(KEY), "stored unknown PostgreSQL does not answer"],
    "a schema that was begun": [*rows(tables=7, runs=0, connections=0)],
    "an older schema, which our upgrade can migrate": [*OURS, *mark(KEY), head("2.11.2")],
    "a lost host's database, which the key opens": [*SCHEMA, secret("connection a", KEY)],
    "a scheduler that ended two minutes ago": [*OURS, *SCHEMA, job("old", age=120)],
    "a fresh PostgreSQL of Debian's": ["cluster other", "client 15"],
    "key and host differ, but the key opens all": [*OURS, *mark(OTHER), secret("variable a", KEY)],
}

REFUSED: dict[str, tuple[list[str], str]] = {
    "another key": ([*OURS, *mark(OTHER), *SCHEMA], "has a different Fernet key from this machine"),
    "a key that opens a part": (
        [*OURS, *mark(KEY), secret("connection a", KEY), secret("variable b", OTHER)],
        "1 of 2 stored secrets don't decrypt with airflow_fernet_key (variable b)",
    ),
    "a running Airflow of somebody": (
        [
            "process 12 ubuntu scheduler airflow-scheduler.service /home/ubuntu/airflow",
            *SCHEMA,
            secret("connection a", OTHER),
        ],
        "already runs another Airflow (Airflow 3.3.0 to 3.3.2, 1 connection, 4 runs;"
        " scheduler of user ubuntu, process 12 by airflow-scheduler.service;"
        " AIRFLOW_HOME /home/ubuntu/airflow)",
    ),
    "units of somebody": (
        ["unit /etc/systemd/system/airflow-x.service"],
        "has units of an Airflow",
    ),
    "a port": (["port 8080 7 nginx nginx.service"], "port 8080 of 192.0.2.10 is in use by another"),
    "a person's account": (["account airflow:x:1001:1001::/home/airflow:/bin/bash|"], "logs in to"),
    "an account in use": (
        ["account airflow:x:998:998::/srv/flow:/usr/sbin/nologin|process 209, rsync"],
        "/srv/flow can't become /var/lib/airflow while it is in use (process 209, rsync): stop"
        " it, or set airflow_home to /srv/flow",
    ),
    "somebody's airflow.cfg": (["file /var/lib/airflow/airflow.cfg"], "with the Fernet key and"),
    "somebody's folder": (["folder bob /var/log/airflow"], "files of the user bob"),
    "an environment in /opt/airflow": (["environment pyvenv.cfg"], "(/opt/airflow/pyvenv.cfg)"),
    "configuration in /etc/airflow": (["configuration airflow.cfg"], "(/etc/airflow/airflow.cfg)"),
    "another node": (["node rabbit@one", "broker other"], 'set rabbitmq_node_name = "rabbit@one"'),
    "a broker of somebody": (["node rabbit@localhost", "broker other"], "broker with rabbitmq_url"),
    "databases of others": (
        ["cluster other", "database shop 2"],
        "also has other databases (shop)",
    ),
    "a stopped server of others": (
        ["cluster other", "stored unknown PostgreSQL does not answer"],
        "its contents can't be read (PostgreSQL does not answer)",
    ),
    "a used database": (["cluster other", "database airflow 0", *SCHEMA], "is used by an Airflow"),
    "tables of another program": (rows(tables=9), "has 9 tables, and none of Airflow's"),
    "the same with users": (rows(tables=9, logins=40), "has 9 tables, and none of Airflow's"),
    "a schema of two lines before": (
        [*OURS, *mark(KEY), head("2.9.3")],
        "Airflow 2.9.3 can't be upgraded to 3.3.2 directly: upgrade to 2.11.2 first",
    ),
    "a schema that nobody knows": ([*OURS, '{"revision": "0123abcd"}'], "does not know its schema"),
    "a server that its client can't back up": (
        [*OURS, *mark(KEY), head("2.11.2"), '{"server": 17}'],
        "has the client of PostgreSQL 15, which can't back up a server of version 17",
    ),
    "the same where the distribution's client is yet to come": (
        [*mark(KEY), "distribution debian 12", head("2.11.2"), '{"server": 17}'],
        "install postgresql-client-17 there",
    ),
    "another scheduler": (
        [*OURS, *mark(KEY), *SCHEMA, job("old")],
        "is in use by another Airflow (Scheduler on old of user airflow, heartbeat 3 s ago)",
    ),
    "a scheduler of another user here": (
        [*OURS, *mark(KEY), *SCHEMA, job("one", user="ubuntu")],
        "is in use by another Airflow",
    ),
}


@pytest.mark.parametrize("lines", FINE.values(), ids=FINE)
def test_a_host_that_a_run_may_change(lines: list[str], tmp_path: Path) -> None:
    assert refused(lines, tmp_path) == []


@pytest.mark.parametrize(("lines", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_host_that_a_run_leaves_alone(lines: list[str], sentence: str, tmp_path: Path) -> None:
    (said,) = refused(lines, tmp_path)
    assert sentence in said
    assert KEY not in said
    assert "\n" not in said


def test_a_release_that_is_newer_than_the_table_works_on(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(Path("files/constraints/airflow-3.3.2-py3.11.txt").read_text())
    given: dict[str, Any] = {"airflow_version": "3.3.99", "airflow_constraints": str(lock)}
    unknown = '{"revision": "0123abcd"}'
    running = [line.replace("3.3.2", "3.3.99") for line in OURS]
    assert refused([*running, *mark(KEY), unknown], tmp_path, **given) == []
    (said,) = refused([*OURS, *mark(KEY), unknown], tmp_path, **given)
    assert "does not know its schema" in said


@pytest.mark.parametrize(
    "strange",
    [
        *("file /var/lib/airflow/airflow.cfg", "folder bob /var/log/airflow", "pool other"),
        *("unit /etc/systemd/system/airflow-x.service", "configuration notes.txt"),
    ],
)
def test_what_was_changed_by_hand_on_a_host_of_ours_is_mended(strange: str, tmp_path: Path) -> None:
    ours = [*OURS, *mark(KEY), "home /var/lib/airflow", strange]
    assert refused(ours, tmp_path) == []
    moved = refused([*ours, "file /srv/airflow.cfg"], tmp_path, airflow_home="/srv")
    expected = ("in use", "has a /srv/")
    assert all(words in said for words, said in zip(expected, moved, strict=True))


def test_a_newer_schema_does_not_go_back(tmp_path: Path) -> None:
    said = refused([*OURS, *mark(KEY), head("3.3.2")], tmp_path, airflow_version="2.11.2")
    assert "is newer than 2.11.2, and a database can't be downgraded" in said[0]


@pytest.mark.parametrize(
    "what",
    [
        *("units of somebody", "somebody's airflow.cfg", "somebody's folder", "a used database"),
        *("an environment in /opt/airflow", "a broker of somebody", "databases of others"),
    ],
)
def test_consent_is_for_what_has_ended(what: str, tmp_path: Path) -> None:
    assert refused(REFUSED[what][0], tmp_path, airflow_adopt=True) == []


@pytest.mark.parametrize(
    "what",
    [
        *("another key", "a key that opens a part", "a running Airflow of somebody", "a port"),
        *("another scheduler", "a schema that nobody knows", "a stopped server of others"),
    ],
)
def test_no_consent_is_for_what_would_be_lost(what: str, tmp_path: Path) -> None:
    assert len(refused(REFUSED[what][0], tmp_path, airflow_adopt=True)) == 1


def test_consent_to_lose_the_data_is_for_their_key_too(tmp_path: Path) -> None:
    lost = ("another key", "a key that opens a part", "a used database")
    assert [refused(REFUSED[what][0], tmp_path, replacing=True) for what in lost] == [[], [], []]
    assert refused(REFUSED["another scheduler"][0], tmp_path, replacing=True) != []


def test_secrets_of_another_file_are_told_but_a_single_new_one_is_used(tmp_path: Path) -> None:
    names = ("airflow_secret_key", "rabbitmq_password")
    before = f"marked secrets {' '.join(f'{name}:{fingerprint(name)}' for name in names)}"
    host = site([*OURS, *mark(KEY), before], tmp_path)
    other = host._replace(generated=dict.fromkeys(names, fingerprint("other")))
    (said,) = findings({HOST: other})
    assert "was deployed with passwords and keys other than those in" in said
    one = {**other.generated, names[0]: fingerprint(names[0])}
    assert findings({HOST: other._replace(generated=one)}) == []


def test_a_given_key_is_told_apart_from_a_lost_file(tmp_path: Path) -> None:
    in_use = [f"fernet {each}" for each in fingerprints(OTHER)]
    (said,) = findings({HOST: site([*OURS, *in_use], tmp_path, own=False)})
    assert "airflow_fernet_key is not the key of 192.0.2.10" in said


def test_a_pool_of_others_is_left_to_them(tmp_path: Path) -> None:
    groups = {**made_up.everything(HOST), "pgbouncer": [HOST]}
    given = {"airflow_secrets_file": tmp_path / "s", "airflow_fernet_key": KEY}
    settings = Settings.of(made_up.host(groups, HOST, **given))
    (said,) = findings({HOST: Site(settings, read(["pool other"]), tmp_path, {})})
    assert "has a PgBouncer that this package did not configure" in said


@pytest.fixture
def external(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Settings of a host whose database is somebody else's."""
    groups = {"api_server": [HOST], "scheduler": [HOST], "dag_processor": [HOST], "worker": [HOST]}
    given = {
        "airflow_fernet_key": KEY,
        "airflow_secrets_file": tmp_path / "s",
        "postgresql_url": "postgresql://airflow:s3cret@db.example.com/flow",
        "rabbitmq_url": "amqp://airflow:s3cret@mq.example.com/flow",
    }
    yield {"groups": groups, "name": HOST, **given}


def test_an_external_database_that_can_not_be_asked_is_not_taken_for_empty(
    external: dict[str, Any], tmp_path: Path
) -> None:
    settings = Settings.of(made_up.host(**external))
    silent = ["stored unknown Connection refused"]
    unknown = Site(settings, read(silent), tmp_path, {})
    (said,) = findings({HOST: unknown})
    assert "the database flow of 192.0.2.10 can't be asked for its contents" in said
    known = read([*silent, "current 3.3.2", *mark(KEY, database(settings))])
    assert database(settings) == "db.example.com:5432/flow"
    assert findings({HOST: unknown._replace(seen=known)}) == []


@pytest.mark.parametrize(
    ("lines", "data", "sentences"),
    [
        (OURS, True, 0),
        (["name one"], True, 0),
        (["name one", "cluster other", "database airflow 1"], True, 1),
        ([*OURS, "unit /etc/systemd/system/airflow-webserver.service"], False, 1),
        ([*OURS, "environment pyvenv.cfg"], False, 1),
        ([*OURS, "file /var/lib/airflow/airflow.cfg"], False, 0),
        ([*OURS, "file /var/lib/airflow/airflow.cfg"], True, 1),
    ],
)
def test_an_uninstall_removes_what_is_ours(
    lines: list[str], data: bool, sentences: int, tmp_path: Path
) -> None:
    said = removals({HOST: site(lines, tmp_path, airflow_uninstall_data=data)})
    assert len(said) == sentences


def test_one_refusal_speaks_of_every_host(tmp_path: Path) -> None:
    sites = {
        "a": site(["port 8080 7 nginx nginx.service"], tmp_path),
        "b": site(["node rabbit@one", "broker other"], tmp_path),
    }
    said = findings(sites)
    assert [sentence.partition(" is in use")[0][:16] for sentence in said] == [
        "port 8080 of a",
        "b has a RabbitMQ",
    ]


def test_a_distribution_without_a_server_is_refused(tmp_path: Path) -> None:
    groups = {**made_up.everything(HOST), "rabbitmq": [], "valkey": [HOST]}
    host = made_up.host(groups, HOST, airflow_secrets_file=tmp_path / "s", airflow_fernet_key=KEY)

    def said(distribution: str) -> list[str]:
        seen = read([f"distribution {distribution}"])
        return findings({HOST: Site(Settings.of(host), seen, tmp_path / "s", {})})

    assert said("debian 13") == []
    (sentence,) = said("debian 12")
    assert "has Debian 12, which does not have Valkey: use a host with Debian 13 or" in sentence
