"""No way out for secrets: what is refused is not shown, and what is set arrives unseen."""

import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from pyinfra.api import Config, HiddenValue, Inventory, State
from pyinfra.api.exceptions import DeployError

from tasks import Settings, SettingsError
from tasks.airflow import airflow_cfg
from tasks.catalog import releases
from tasks.settings.sensitive import looks_secret
from tasks.settings.urls import parts
from tests.support import made_up

CANARY = "Kanarienvogel"
FIELDS = sorted(set(Settings.model_fields) - {"topology"})
MANGLED = (
    *(CANARY, f"{CANARY} x", f"x\n{CANARY}\0", f"/{CANARY}", f"{CANARY}.json", "x" * 300 + CANARY),
    *(f'{{"x": "{CANARY}"', f"x @ git+https://me:{CANARY}@host/x", f"x=={CANARY} ;!"),
    *(f"https://me:{CANARY}@host/x", f"https://{CANARY}@host:99999", f"http://[{CANARY}@host"),
    *(f"https://me:{CANARY}\u2100@host", f"s3://me:{CANARY}@bucket/x", f"http://me:12{CANARY}/@h"),
    *(f"amqp://me:{CANARY}@a:5672;amqp://me:{CANARY}@b:5672", f"amqp://me:{CANARY}@h:port/"),
    *(
        f"postgresql://me:{CANARY}@h/d?{CANARY}=1",
        f"redis://:{CANARY}#x@h",
        f"amqp://u:{CANARY}/@h",
    ),
)
KEYS = ("x", "core", "my-plugin", "token", "uri", "password", "extra", "email", "roles", "slots")

some = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def values() -> st.SearchStrategy[Any]:
    """Give values of any shape with the canary in them."""
    texts = st.sampled_from(MANGLED)
    leaves = st.one_of(
        texts, texts.map(HiddenValue), texts.map(SecretStr), texts.map(str.encode), texts.map(Path)
    )
    names = st.one_of(st.sampled_from(KEYS), st.integers(0, 9999), st.sampled_from(MANGLED[9:11]))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=2),
            st.dictionaries(names, inner, min_size=1, max_size=2),
            st.tuples(inner),
        ),
        max_leaves=4,
    )


def told(error: BaseException) -> Iterator[str]:
    """Give all that an error would show, and those that it came from."""
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    for other in (error.__cause__, error.__context__):
        if other:
            yield from told(other)


@pytest.mark.parametrize("name", FIELDS)
@settings(some, max_examples=12)
@given(value=values())
def test_no_refusal_has_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    host = made_up.host(made_up.everything("192.0.2.10"), "192.0.2.10")
    host.data.airflow_secrets_file = tmp_path / "s.json"
    setattr(host.data, name, value)
    try:
        Settings.of(host)
    except DeployError as error:
        refusal = error
    else:
        return
    assert [text for text in told(refusal) if CANARY in text] == []
    assert "\n" not in str(refusal)


@pytest.mark.parametrize(
    "name", ["proxy_port", "proxy_server_name", "airflow_address", "airflow_worker_queues"]
)
@settings(some, max_examples=40)
@given(value=values())
def test_a_host_does_not_show_the_secrets_of_another(tmp_path: Path, name: str, value: Any) -> None:
    groups: dict[str, Any] = {group: (["a"], {}) for group in made_up.everything("a")}
    inventory = Inventory(
        (["a", ("b", {name: value})], {"airflow_secrets_file": tmp_path / "s"}),
        **{**groups, "proxy": (["b"], {}), "worker": (["a", "b"], {})},
    )
    State(inventory, Config())
    try:
        made = Settings.of(inventory.get_host("a"))
    except DeployError as refusal:
        assert [text for text in told(refusal) if CANARY in text] == []
    else:
        assert "://me" not in repr(made)


@pytest.mark.parametrize(
    "address",
    ["no/such/" + CANARY, "x" * 300 + CANARY, f"{CANARY}://x", f"http://127.0.0.1:1/{CANARY}"],
)
def test_constraints_that_can_not_be_read_are_not_shown(tmp_path: Path, address: str) -> None:
    made = made_up.settings(tmp_path / "s", airflow_constraints=address)
    with pytest.raises(SettingsError, match="airflow_constraints can't be read: ") as refusal:
        made.wanted("3.13")
    assert [text for text in told(refusal.value) if CANARY in text] == []


@pytest.mark.parametrize(
    "text", [f'{{"x": "{CANARY}"', f'["{CANARY}"]', f'{{"x": {{"{CANARY}": 1}}}}']
)
def test_a_broken_file_of_secrets_is_named_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(text)
    with pytest.raises(
        DeployError, match=rf"^{re.escape(str(file))} is not a JSON object"
    ) as refusal:
        made_up.settings(file)
    assert [each for each in told(refusal.value) if CANARY in each] == []
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("airflow_base_url", f"https://me:{CANARY}@host"),
        ("airflow_api_url", f"http://{CANARY}@host:8080"),
        ("airflow_base_url", f"https://me:{CANARY}/x@host"),
        ("airflow_constraints", f"https://me:{CANARY}@host/constraints.txt"),
        ("airflow_remote_logs", f"s3://me:{CANARY}@bucket/logs"),
        ("python_index_url", f"https://me:{CANARY}/x@host"),
        ("python_proxy", f"http://me:{CANARY}@[host"),
        ("rabbitmq_admin_url", f"https://me:{CANARY}@host:99999"),
        ("airflow_connections", f'{{"x": "http://me:{CANARY}@host"}}'),
        ("airflow_connections", {f"http://me:{CANARY}@host": "x"}),
    ],
)
def test_a_login_in_the_wrong_place_is_refused_and_not_shown(
    tmp_path: Path, name: str, value: Any
) -> None:
    with pytest.raises(SettingsError, match=f"^{name}\\b") as refusal:
        made_up.settings(tmp_path / "s", **{name: value})
    assert [text for text in told(refusal.value) if CANARY in text] == []


def test_an_at_in_a_path_is_no_login(tmp_path: Path) -> None:
    url = "https://host/constraints@v1.txt"
    assert made_up.settings(tmp_path / "s", airflow_constraints=url).airflow_constraints == url


def test_a_lock_with_a_login_is_refused_and_not_shown(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"# Mine\n--extra-index-url https://me:{CANARY}@host/simple\n")
    with pytest.raises(SettingsError, match="line 2 is not a requirement") as refusal:
        made_up.settings(tmp_path / "s", airflow_lock=lock)
    assert [text for text in told(refusal.value) if CANARY in text] == []


SEVERAL = "it names several servers: name one, or a load balancer in front of them"
NO_FORM = "can't be read: give SCHEME://USER:PASSWORD@HOST:PORT/, with special characters"
WRONG_URLS = [
    ("rabbitmq", f"amqp://me:{CANARY}@a:5672;amqp://me:{CANARY}@b:5672", SEVERAL),
    ("rabbitmq", f"amqp://me:{CANARY}@a;me:{CANARY}@b", SEVERAL),
    ("rabbitmq", f"amqp://me:{CANARY}@a,b/airflow", SEVERAL),
    ("postgresql", f"postgresql://me:{CANARY}@a:5432,b:5432/d", SEVERAL),
    ("redis", "redis://a,b", SEVERAL),
    ("rabbitmq", f"amqp://me:{CANARY}@a:port", NO_FORM),
    ("rabbitmq", f"amqp://me:{CANARY}@a:0", NO_FORM),
    ("rabbitmq", f"amqp://me:{CANARY}@a:99999", NO_FORM),
    ("rabbitmq", f"amqp://me:{CANARY}@[::1", NO_FORM),
    ("rabbitmq", f"amqp://me:{CANARY}/x@a", NO_FORM),
    ("rabbitmq", f"amqp://me:12/{CANARY}@a", "it has no password: give SCHEME"),
    ("rabbitmq", f"amqp://me:{CANARY}@a!/", NO_FORM),
    ("rabbitmq", f"amqp://me:{CANARY} x@a", "it has a space, or a % that does not begin a %xx"),
    ("rabbitmq", f"amqp://me:100%{CANARY}@a", "and % as %25"),
    ("rabbitmq", f"amqp://me:%ff{CANARY}@a", "and % as %25"),
    ("redis", f"redis://:{CANARY}@a/\u00b2", "its path is not the number of a database"),
    (
        "redis",
        f"redis://:{CANARY}@a/0?x={CANARY}",
        "unsupported option: leave what follows \\? out",
    ),
]


@pytest.mark.parametrize(("server", "url", "sentence"), WRONG_URLS)
def test_a_wrong_url_of_a_server_is_refused(
    tmp_path: Path, server: str, url: str, sentence: str
) -> None:
    groups = {group: ["h"] for group in made_up.everything("h") if group != server}
    host = made_up.host(groups, "h", airflow_secrets_file=tmp_path / "s", **{f"{server}_url": url})
    with pytest.raises(
        SettingsError, match=f"^{server}_url can't be used: .*{sentence}"
    ) as refusal:
        Settings.of(host)
    assert [text for text in told(refusal.value) if CANARY in text] == []


def test_a_password_with_a_comma_or_a_second_at_is_a_password() -> None:
    assert parts("rabbitmq", "amqp://me:a,b;c@h")["rabbitmq_password"] == "a,b;c"
    assert parts("rabbitmq", " amqp://me:a@b@h\n")["rabbitmq_password"] == "a@b"


SECRET = [
    ("smtp", "smtp_password", "x"),
    ("smtp", "smtp_password", 12345),
    ("sentry", "sentry_dsn", "x"),
    ("secrets", "backend_kwargs", "{}"),
    ("secrets", "backend_kwarg__role_id", "x"),
    ("openlineage", "transport", '{"type": "http", "auth": {"apiKey": "x"}}'),
    ("elasticsearch", "host", "https://me:x@host:9200"),
    ("opensearch", "password", "x"),
    ("kafka", "config", '{"sasl.password": "x"}'),
    ("kafka", "sasl_jaas_config", "x"),
    ("my-plugin", "api.key", "x"),
    ("my-plugin", "Token", "x"),
    ("my", "apikey", "x"),
    ("my", "headers", "Authorization: Bearer x"),
    ("my", "url", "https://host/?sig=x"),
    ("my", "pem", "-----BEGIN PRIVATE KEY-----"),
    *((*name, "x") for release in releases.RELEASES for name in sorted(release.sensitive)),
]
OPEN = [
    ("core", "parallelism", 8),
    ("core", "executor", "CeleryExecutor"),
    ("core", "dag_run_conf_overrides_params", True),
    ("core", "hide_sensitive_var_conn_fields", True),
    ("core", "sensitive_var_conn_names", "password,token"),
    ("core", "default_timezone", "Europe/Vienna"),
    ("api", "access_control_allow_headers", "origin, content-type, accept"),
    ("api", "access_control_allow_origins", "https://a.example"),
    ("api", "auth_backends", "airflow.api.auth.backend.basic_auth"),
    ("api", "base_url", "https://airflow.example.com"),
    ("api_auth", "jwt_expiration_time", 86400),
    ("celery", "task_track_started", True),
    ("celery", "worker_prefetch_multiplier", 1),
    ("celery_broker_transport_options", "visibility_timeout", 3600),
    ("elasticsearch", "host", "http://search:9200"),
    ("email", "from_email", "Airflow <airflow@example.com>"),
    ("fab", "enable_password_reset", False),
    ("logging", "remote_base_log_folder", "s3://bucket/logs"),
    ("metrics", "statsd_prefix", "airflow"),
    ("secrets", "backend", "airflow.providers.hashicorp.secrets.vault.VaultBackend"),
    ("smtp", "smtp_password", ""),
    ("smtp", "smtp_password_cmd", "cat /run/smtp"),
    ("smtp", "smtp_user", "airflow@example.com"),
    ("webserver", "cookie_secure", "True"),
    ("webserver", "instance_name", "Keys and monkeys"),
]


@pytest.mark.parametrize(("section", "key", "value"), SECRET)
def test_what_looks_like_a_secret_is_hidden(section: str, key: str, value: Any) -> None:
    assert looks_secret(section, key, value)


@pytest.mark.parametrize(("section", "key", "value"), OPEN)
def test_what_is_no_secret_stays_in_sight(section: str, key: str, value: Any) -> None:
    assert not looks_secret(section, key, value)


def test_a_secret_given_as_plain_text_is_in_no_open_place(tmp_path: Path) -> None:
    made = made_up.settings(
        tmp_path / "s", airflow_config={"sentry": {"sentry_dsn": CANARY, "sentry_on": True}}
    )
    assert CANARY not in repr(made) + str(made) + airflow_cfg.render(made)
    assert airflow_cfg.secret_environment(made)["AIRFLOW__SENTRY__SENTRY_DSN"] == CANARY


SECTIONS = st.one_of(
    st.sampled_from(
        ["my_plugin", "my-plugin", "My-Plugin", "a__b", "a.b", "team=celery", "DEFAULT"]
    ),
    st.text("aB9_-.=:[]#; \n\té\x85", max_size=5),
)
ANY_KEY = st.one_of(
    st.sampled_from(["token", "Token", "a.b", "a__b", "_a", "rem", "x_cmd"]),
    st.text("aB9_-.=:[]#; \n\té\x85", max_size=5),
)
ANY_SECRET = st.text("aB9%();#=: \"\\$'~\r\n\té\x85", max_size=8).map(lambda text: text + "x")


@pytest.mark.parametrize("release", ["3.3.2", "1.10.15"])
@settings(some, max_examples=300)
@given(section=SECTIONS, key=ANY_KEY, value=ANY_SECRET)
def test_every_secret_of_airflow_config_arrives_or_is_refused(
    tmp_path: Path, release: str, section: str, key: str, value: str
) -> None:
    config = {section: {key: HiddenValue(value)}}
    try:
        made = made_up.settings(tmp_path / "s", airflow_version=release, airflow_config=config)
    except SettingsError as refusal:
        assert str(refusal).startswith("airflow_config: ")
        return
    variables = airflow_cfg.secret_environment(made)
    assert [name for name in variables if not re.fullmatch("[A-Z][A-Z0-9_]*", name)] == []
    file = tmp_path / "airflow.cfg"
    file.write_text(airflow_cfg.render(made), encoding="utf-8")
    found = read_as_airflow_does(file, variables, section, key)
    assert found == value
    private = [text.replace("%%", "%") for text in airflow_cfg.private(airflow_cfg.render(made))]
    assert private == ([] if value in variables.values() else [value])


def read_as_airflow_does(
    file: Path, variables: dict[str, str], section: str, key: str
) -> str | None:
    name = f"AIRFLOW__{section.replace('.', '_').upper()}__{key.upper()}"
    if name in variables:
        return variables[name]
    parser = ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(file, encoding="utf-8")
    team, equals, rest = section.rpartition("=")
    return parser.get(f"{team}{equals}{rest.lower()}", key.lower(), fallback=None)


NOT_HELD = [
    ({"": {"x": "y"}}, "airflow.cfg can't have a section []"),
    ({"a]b": {"x": "y"}}, "airflow.cfg can't have a section [a]b]"),
    ({"a\nb": {"x": "y"}}, "airflow.cfg can't have a section [a\\nb]"),
    ({"DEFAULT": {"x": "y"}}, "airflow.cfg can't have a section [DEFAULT]"),
    ({"a": {"": "y"}}, "airflow.cfg can't have a key  in [a]: give it another name"),
    ({"a": {"b=c": "y"}}, "airflow.cfg can't have a key b=c in [a]"),
    ({"a": {"b:c": "y"}}, "airflow.cfg can't have a key b:c in [a]"),
    ({"a": {"#b": "y"}}, "airflow.cfg can't have a key #b in [a]"),
    ({"a": {" b": "y"}}, "airflow.cfg can't have a key  b in [a]"),
    ({"a": {f"http://me:{CANARY}@h": "y"}}, "airflow.cfg can't have a key a name with a login"),
    (
        {"a": {"token": "y", "Token": "z"}},
        "[a] token differs from another key only in upper and lower case",
    ),
    ({"a.b": {"x": "y"}, "a_b": {"x": HiddenValue("z")}}, "[a_b] x differs from another key"),
    ({"a": {"b": "x\ry"}}, "[a] b must be one line"),
    ({"a": {"b": {"c": CANARY}}}, "in a, b: give a text, a number, True or False"),
    ({"My-Plugin": {"token": CANARY}}, "write section and key in lower case"),
    ({"my-plugin": {"token": f"{CANARY} "}}, "[my-plugin] token begins or ends with a space"),
]


@pytest.mark.parametrize(("config", "sentence"), NOT_HELD)
def test_what_airflow_cfg_can_not_hold_is_refused(
    tmp_path: Path, config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        made_up.settings(tmp_path / "s", airflow_config=config)
    assert str(refusal.value).startswith("airflow_config: ")
    assert sentence in str(refusal.value)
    assert CANARY not in str(refusal.value)


@pytest.mark.parametrize("value", ["a%(b)s", "a ;b", "é", '""'])
def test_what_python_2_would_misread_is_refused(tmp_path: Path, value: str) -> None:
    config = {"my-plugin": {"token": value}}
    with pytest.raises(SettingsError, match="this release would misread"):
        made_up.settings(tmp_path / "s", airflow_version="1.8.2", airflow_config=config)


def test_percent_stands_alone_where_the_release_wants_it_so(tmp_path: Path) -> None:
    config = {"my-plugin": {"token": "a%b"}}
    for release, text in (("3.3.2", "a%%b"), ("1.8.2", "a%b")):
        made = made_up.settings(tmp_path / "s", airflow_version=release, airflow_config=config)
        assert airflow_cfg.private(airflow_cfg.render(made)) == [text]
        assert f"token = {text}\n" in airflow_cfg.render(made)


def test_airflow_sees_a_section_that_has_secrets_alone(tmp_path: Path) -> None:
    made = made_up.settings(tmp_path / "s", airflow_config={"my_plugin": {"token": CANARY}})
    parsed = ConfigParser()
    parsed.read_string(airflow_cfg.render(made))
    assert parsed.has_section("my_plugin")


def test_a_reporter_gets_no_variable_that_systemd_would_print(tmp_path: Path) -> None:
    config = {"smtp": {"smtp_host": "mail", "smtp-password": CANARY}}
    made = made_up.settings(tmp_path / "s", airflow_config=config)
    assert CANARY not in airflow_cfg.reporter_environment(made).values()
    assert airflow_cfg.reporter_environment(made)["AIRFLOW__SMTP__SMTP_HOST"] == "mail"
