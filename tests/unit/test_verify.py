"""What verifying makes of what it sees, without any host."""

from pathlib import Path
from typing import Any

import pytest

from tasks.day_two.verify import Reach, opened, strangers, table
from tasks.host.rows import Row
from tests.support import made_up


@pytest.mark.parametrize(
    ("data", "socket", "asked_for"),
    [
        ({}, ("airflow", "0.0.0.0", 8080), True),
        ({"airflow_web_host": "127.0.0.1"}, ("airflow", "0.0.0.0", 8080), False),
        ({"airflow_web_port": 80}, ("airflow", "*", 8080), False),
        ({}, ("airflow", "0.0.0.0", 8793), False),
        ({}, ("postgres", "192.0.2.10", 5432), False),
        ({"postgresql_allow": "10.0.0.0/8"}, ("postgres", "192.0.2.10", 5432), True),
        ({"postgresql_allow": "10.0.0.0/8"}, ("postgres", "0.0.0.0", 5432), False),
        ({"rabbitmq_bind_address": "0.0.0.0"}, ("rabbitmq", "*", 5672), True),
        ({"rabbitmq_allow": "10.0.0.0/8"}, ("rabbitmq", "[::]", 5672), False),
        ({}, ("epmd", "*", 4369), False),
        ({}, ("airflow", "0.0.0.0", 5555), False),
        ({}, ("root", "0.0.0.0", 22), True),
    ],
)
def test_a_socket_that_the_settings_do_not_ask_for_is_named(
    tmp_path: Path, data: dict[str, Any], socket: tuple[str, str, int], asked_for: bool
) -> None:
    settings = made_up.settings(tmp_path / "s", **data)
    user, address, port = socket
    expected = [] if asked_for else [f"{address}:{port} of {user}"]
    assert strangers(settings, Reach({}, (), (socket,))) == expected


def test_the_table_marks_what_is_wrong() -> None:
    rows = [Row("clock", "a", True, "fine"), Row("schema", "long", False, "not the release's")]
    assert table(rows) == [
        "    ok    clock   a     fine",
        "    FAIL  schema  long  not the release's",
    ]


@pytest.mark.parametrize(
    ("said", "right", "saw"),
    [
        ("0 of 0", True, "0 of 0 open"),
        ("7 of 7", True, "7 of 7 open"),
        (
            "3 of 7: connection mart, variable x",
            False,
            "3 of 7 open, not connection mart, variable x",
        ),
        ("unknown", False, "can't be checked (unknown)"),
        ("", False, "can't be checked (not installed)"),
    ],
)
def test_secrets_that_no_key_opens_are_named(said: str, right: bool, saw: str) -> None:
    assert opened(said) == (right, saw)
