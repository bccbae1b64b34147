"""What helpers of hosts decide and say about jobs, objects, servers and components."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

import airflow_canary
import airflow_clean
import airflow_declared
import airflow_drain
import airflow_health
import airflow_probe
import airflow_servers

CLOSED = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("days", "time"),
    [("30", "1970-01-02 00:00:00"), ("0.5", "1970-01-31 12:00:00"), ("0", "1970-02-01 00:00:00")],
)
def test_what_is_older_than_so_many_days_goes(days: str, time: str) -> None:
    assert airflow_clean.earlier(days, 31 * 86400) == time


def test_a_run_goes_after_what_bears_its_date() -> None:
    tables = [table for table, _ in airflow_clean.of_old_runs()]
    assert tables.index("dag_run") > tables.index("task_instance")
    assert {"log", "job", "xcom"} < set(tables)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ('[{"ti": {"dag_id": "slow", "task_id": "sleep"}}]', "slow sleep"),
        ('["{\\"dag_id\\": \\"slow\\", \\"task_id\\": \\"sleep\\"}"]', "slow sleep"),
        ("[['airflow', 'tasks', 'run', 'slow', 'sleep', 'now']]", "slow sleep"),
        ("[[u'airflow', u'run', u'slow', u'sleep']]", "slow sleep"),
        ("['airflow run slow sleep 2017-04-21 --local']", "slow sleep"),
        ("['something else']", "some-id"),
    ],
)
def test_a_task_of_any_release_is_named(arguments: str, name: str) -> None:
    assert airflow_drain.name({"id": "some-id", "args": arguments, "kwargs": "{}"}) == name


def test_what_keeps_a_worker_busy_is_said() -> None:
    assert airflow_drain.still_running(["slow sleep", "x"]) == "still running: slow sleep, x"
    assert airflow_drain.still_running(None) == "still running: the worker gives no answer"


@pytest.mark.parametrize(
    ("states", "end"),
    [
        ({}, False),
        ({"a": ["success", "w1"]}, True),
        ({"a": ["success", "w1"], "b": ["failed", "w2"]}, True),
        ({"a": ["success", "w1"], "b": ["queued", ""]}, False),
        ({"a": [None, ""]}, False),
    ],
)
def test_a_run_ends_with_its_last_task(states: dict[str, list[str]], end: bool) -> None:
    assert airflow_canary.finished(states) is end


def test_a_form_s_token_is_found() -> None:
    page = '<input id="csrf_token" name="csrf_token" type="hidden" value="abc.d-e"><input name="x">'
    assert airflow_canary.hidden("csrf_token", page) == "abc.d-e"
    assert airflow_canary.hidden("_csrf_token", page) == ""


def test_a_log_that_can_t_be_read_says_why() -> None:
    found = airflow_canary.logs("api_v1", CLOSED, "admin", "dag", "run", "", "on_w1", "on_w2")
    assert set(found) == {"on_w1", "on_w2"}
    assert all("Connection refused" in text for text in found.values())


def test_a_server_whose_ca_is_yet_to_come_is_ready() -> None:
    assert airflow_servers.look({"rabbitmq": {"ca": "/no/such/ca.crt"}}) == {}


def test_what_is_missing_at_servers_is_one_sentence() -> None:
    missing = {"rabbitmq": {"vhost b": "403"}, "postgresql": {"database a": "no such role"}}
    assert airflow_servers.refusal(missing) == (
        "what is there stays as it is, and does not let Airflow in:"
        " database a: no such role; vhost b: 403"
    )


def test_an_admin_url_that_leads_nowhere_is_named_without_its_login() -> None:
    admin = {"admin": CLOSED, "authorization": "Basic c2VjcmV0", "ca": None}
    with pytest.raises(SystemExit) as end:
        airflow_servers.make("rabbitmq", {**admin, "vhost": "v", "user": "u", "hash": "h"})
    assert str(end.value).startswith(
        "rabbitmq_admin_url can't make what is missing: <urlopen error"
    )
    assert "c2VjcmV0" not in str(end.value)


def test_objects_are_added_changed_and_removed_by_name() -> None:
    wanted, have, kept = (
        {"new": 1, "other": 2},
        {"other": [1], "old": [2], "default": [3]},
        ("default",),
    )
    assert airflow_declared.compared(wanted, have, ["other"], True, kept) == {
        "added": ["new"],
        "changed": ["other"],
        "removed": ["old"],
    }
    assert airflow_declared.compared(wanted, have, [], False, kept)["removed"] == []


def test_a_connection_is_what_is_declared_and_nothing_more() -> None:
    content = airflow_declared.connection({"conn_type": "http", "host": "h", "port": 80})
    assert content == {
        "conn_type": "http", "host": "h", "port": 80,
        "login": None, "password": None, "schema": None, "extra": None,
    }  # fmt: skip
    assert airflow_declared.connection({"description": ""})["description"] is None


def test_an_extra_is_the_same_however_it_is_written() -> None:
    meanings = [
        airflow_declared.meaning({"extra": text}) for text in ('{"a": 1, "b": 2}', '{"b":2,"a":1}')
    ]
    assert meanings[0] == meanings[1]
    assert airflow_declared.meaning({"extra": "no JSON"}) == {"extra": "no JSON"}
    assert airflow_declared.meaning({"extra": None}) == airflow_declared.meaning({"extra": ""})


@pytest.mark.parametrize(
    ("permission", "by_dag_name", "expected"),
    [
        ("can read on DAG:example", False, True),
        ("can read on DAG Run:example", False, True),
        ("can read on DAGs", False, False),
        ("can dag read on example", True, True),
        ("can dag edit on all_dags", True, False),
        ("can index on Airflow", True, False),
    ],
)
def test_a_permission_may_be_about_one_dag(
    permission: str, by_dag_name: bool, expected: bool
) -> None:
    assert airflow_declared.of_dag(permission, by_dag_name) is expected


def test_a_role_keeps_what_every_role_has_and_what_dags_give() -> None:
    has = {"can read on Website", "can read on DAGs", "can edit on DAG:a", "can edit on DAG:b"}
    wanted = ["can edit on DAG:b"]
    ours = airflow_declared.only_declared(has, wanted, {"can read on Website"}, False)
    assert ours == {"can read on DAGs", "can edit on DAG:b"}


@pytest.mark.parametrize(
    ("name", "hint"), [("Vewer", "did you mean Viewer?"), ("Boss", "see the web UI's list")]
)
def test_an_unknown_role_has_a_near_one(name: str, hint: str) -> None:
    with pytest.raises(SystemExit) as end:
        airflow_declared.known(name, {"Viewer": 1}, "role")
    assert str(end.value) == f"Airflow has no role {name}: {hint}"
    assert airflow_declared.known("Viewer", {"Viewer": 1}, "role") == 1


@pytest.fixture
def summary(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a health summary about two components, of which the second may fail."""
    monkeypatch.setitem(airflow_probe.CHECKS, "fine", lambda: True)
    monkeypatch.setitem(airflow_probe.CHECKS, "so-so", lambda word: word)
    monkeypatch.setattr(airflow_health.Handler, "summary", airflow_health.Summary([]))
    with airflow_health.Server(("127.0.0.1", 0), airflow_health.Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.mark.parametrize(
    ("word", "code", "said"), [("yes", 200, "ok"), ("no", 503, "fails"), ("unknown", 503, "fails")]
)
def test_the_summary_says_which_component_fails(
    summary: str, word: str, code: int, said: str
) -> None:
    checks = [("scheduler", ["fine"]), ("worker", ["so-so", word])]
    airflow_health.Handler.summary = airflow_health.Summary(checks)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(summary)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        assert answer.getcode() == code
        assert json.load(answer) == {"scheduler": "ok", "worker": said}
