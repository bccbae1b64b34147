"""Settings: what an inventory says, completed and refused."""

import inspect
import json
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import HiddenValue

from tasks import Settings, SettingsError
from tasks.settings import budget, is_secret, secrets
from tasks.settings.declared import KINDS
from tasks.settings.model import Model
from tests.support import made_up

REPOSITORY = {"airflow_dags_repository": "https://host/dags.git"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"airflow_webport": 80}, "did you mean airflow_web_port?"),
    ({"postgresql_passwort": "x"}, "did you mean postgresql_password?"),
    ({"rabbitmq_colour": "x"}, "unknown setting rabbitmq_colour"),
    ({"airflow_version": "1.9.0"}, "airflow_version can't be '1.9.0'"),
    ({"airflow_version": "3.3.1"}, "airflow_version 3.3.1 has no lock here"),
    ({"airflow_version": "2.10.5"}, "and their lines: the nearest is 2.11.2"),
    ({"airflow_version": 1.8}, "airflow_version can't be 1.8"),
    ({"airflow_extras": "postgrs"}, "has no extra postgrs: did you mean postgres?"),
    ({"airflow_extras": ["celery", "zzz"]}, "has no such extra: it has "),
    ({"airflow_lock": "no/such/lock.txt"}, "airflow_lock: there is no such file or folder"),
    ({"airflow_wheelhouse": "no/such/folder"}, "there is no such folder on this machine: make it"),
    (
        {"airflow_wheelhouse": "tests"},
        "airflow_wheelhouse tests lacks apache-airflow 3.3.2: fill it",
    ),
    (
        {"airflow_bundle": "no/such/folder"},
        "airflow_bundle is not a bundle on this machine: make it with"
        " scripts/bundle FOLDER --release 3.3.2 --distribution 'Debian 12'",
    ),
    (
        {"airflow_bundle": "tests", "airflow_wheelhouse": "tests"},
        "airflow_bundle has wheels as well: leave airflow_wheelhouse out",
    ),
    ({"airflow_dags": "no/such/folder"}, "airflow_dags: there is no such file or folder"),
    ({"airflow_plugins": "no/such/folder"}, "airflow_plugins: there is no such file or folder"),
    ({"airflow_dags_check": "maybe"}, "airflow_dags_check: "),
    ({"airflow_dags_revision": "main"}, "revision does nothing without airflow_dags_repository"),
    ({"airflow_dags_repository": "http://a/b"}, "can't be used: give an address of git"),
    ({"airflow_dags_repository": "-x"}, "airflow_dags_repository can't be used: "),
    ({"airflow_dags_repository": "git@host:a b"}, "airflow_dags_repository can't be used: "),
    ({"airflow_dags_repository": "https://me:geheim@a/b"}, "airflow_dags_repository holds a login"),
    ({"airflow_dags_repository": "ssh://me:geheim@a/b"}, "airflow_dags_repository holds a login"),
    ({"airflow_dags_repository": "git@host:dags"}, "needs airflow_dags_known_hosts: set it to"),
    (
        {"airflow_dags_repository": "ssh://host/dags", "airflow_dags_known_hosts": "host ssh-x A"},
        "needs airflow_dags_deploy_key: set it to the text of a private key",
    ),
    ({**REPOSITORY, "airflow_dags_revision": "-f"}, "airflow_dags_revision: "),
    ({**REPOSITORY, "airflow_dags_subfolder": "../x"}, "airflow_dags_subfolder: "),
    ({**REPOSITORY, "airflow_dags_interval": -1}, "airflow_dags_interval can't be -1"),
    (
        {**REPOSITORY, "airflow_dags_interval": 60, "airflow_dags_check": "refuse"},
        "airflow_dags_interval would bring what airflow_dags_check = 'refuse' has refused",
    ),
    ({"airflow_requirements": "pandas=2"}, "line 1: this is not a requirement that pip can read"),
    (
        {"airflow_requirements": ["x @ https://host/x.whl"]},
        "x can't be installed from a URL: give a version",
    ),
    (
        {"airflow_requirements": ["Celery<5"]},
        "airflow_requirements has Celery<5, but the lock of Airflow 3.3.2 pins celery 5.6",
    ),
    ({"airflow_home": "var/lib"}, "airflow_home: give an absolute path"),
    ({"airflow_home": "/var/lib/my flow"}, "airflow_home: "),
    (
        {"airflow_config": {"core": 1}},
        "airflow_config: in core: input should be a valid dictionary",
    ),
    ({"airflow_config": {"core": {"x": "a\nb"}}}, "airflow_config: [core] x must be one line"),
    ({"airflow_config": {"core": {"fernet_key": "x"}}}, "set airflow_fernet_key instead"),
    ({"airflow_config": {"api": {"port": 1}}}, "set airflow_web_port instead"),
    ({"airflow_address": "a b"}, "airflow_address: "),
    ({"airflow_web_host": ""}, "airflow_web_host can't be ''"),
    ({"airflow_web_host": "0.0.0.0; rm"}, "airflow_web_host: "),
    ({"airflow_web_port": 0}, "airflow_web_port can't be 0"),
    ({"airflow_web_port": 65536}, "airflow_web_port can't be 65536"),
    ({"airflow_web_port": "8080"}, "airflow_web_port can't be '8080'"),
    ({"airflow_web_workers": 0}, "airflow_web_workers can't be 0"),
    ({"airflow_web_workers": 65}, "airflow_web_workers can't be 65"),
    ({"airflow_base_url": "airflow.example"}, "airflow_base_url: "),
    ({"airflow_base_url": "https://a b"}, "airflow_base_url: "),
    ({"airflow_report_webhook": "hooks.example.com"}, "airflow_report_webhook is not a URL"),
    ({"airflow_report_email": "a@example.com"}, "airflow_report_email needs a mail server"),
    ({"airflow_nightly_at": "24:00"}, "airflow_nightly_at can't be '24:00'"),
    ({"airflow_journal_size": 15}, "airflow_journal_size can't be 15"),
    ({"airflow_journal_size": 1048577}, "airflow_journal_size can't be 1048577"),
    ({"airflow_health_port": 0}, "airflow_health_port can't be 0"),
    ({"airflow_health_port": 65536}, "airflow_health_port can't be 65536"),
    ({"airflow_remote_logs": "bucket/logs"}, "airflow_remote_logs: "),
    ({"airflow_remote_logs": "s3://b/"}, "airflow_remote_logs: "),
    ({"airflow_remote_logs": "ftp://b"}, "Airflow 3.3.2 knows s3://, cloudwatch://, gs://"),
    (
        {"airflow_remote_logs": "s3://b"},
        "airflow_remote_logs needs amazon in airflow_extras",
    ),
    ({"airflow_remote_logs_connection": "a b"}, "airflow_remote_logs_connection: "),
    ({"airflow_remote_logs_connection": "a"}, "set without airflow_remote_logs"),
    ({"monitoring_allow": "prometheus"}, "monitoring_allow: "),
    ({"monitoring_allow": "0.0.0.0/0"}, "monitoring_allow with the whole internet"),
    ({"monitoring_statsd_port": 0}, "monitoring_statsd_port can't be 0"),
    ({"monitoring_airflow_port": 65536}, "monitoring_airflow_port can't be 65536"),
    ({"monitoring_postgresql_port": "9187"}, "monitoring_postgresql_port can't be '9187'"),
    ({"monitoring_rabbitmq_port": 0}, "monitoring_rabbitmq_port can't be 0"),
    ({"monitoring_colour": "x"}, "unknown setting monitoring_colour"),
    ({"airflow_worker_concurrency": 0}, "airflow_worker_concurrency can't be 0"),
    ({"airflow_worker_concurrency": 1025}, "airflow_worker_concurrency can't be 1025"),
    ({"airflow_worker_queues": []}, "airflow_worker_queues can't be []"),
    ({"airflow_worker_queues": "a b"}, "airflow_worker_queues: "),
    ({"airflow_default_queue": "a b"}, "airflow_default_queue: "),
    ({"airflow_default_queue": ""}, "airflow_default_queue can't be ''"),
    ({"airflow_default_queue": "slow"}, "no worker takes tasks from airflow_default_queue:"),
    (
        {"airflow_worker_queues": "a,b"},
        "add it to the airflow_worker_queues of one",
    ),
    (
        {"postgresql_url": "postgresql://a:b@c/d"},
        "postgresql_url names a server, and the inventory has a host in postgresql: leave one out",
    ),
    (
        {"rabbitmq_admin_url": "boss:geheim@mq:15672"},
        "rabbitmq_admin_url can't be used: give https://USER:PASSWORD@HOST:PORT",
    ),
    (
        {"postgresql_admin_url": "mysql://a:b@c"},
        "postgresql_admin_url can't be used: give postgres",
    ),
    ({"redis_host": "r"}, "there are two brokers, RabbitMQ and Redis"),
    ({"rabbitmq_ca": "no/such/file"}, "rabbitmq_ca: there is no such file or folder"),
    ({"postgresql_certificate": "README.md"}, "postgresql_certificate_key go together"),
    (
        {
            "postgresql_certificate": "README.md",
            "postgresql_certificate_key": "README.md",
            "postgresql_tls": True,
        },
        "postgresql_certificate can't be used: README.md and README.md can't be read as PEM",
    ),
    (
        {"rabbitmq_tls": True, "airflow_version": "1.8.2"},
        "Airflow 1.8.2 can't check its broker's certificate: leave rabbitmq_tls out",
    ),
    ({"airflow_worker_log_port": 0}, "airflow_worker_log_port can't be 0"),
    ({"airflow_worker_log_port": 65536}, "airflow_worker_log_port can't be 65536"),
    ({"airflow_triggerer_log_port": 0}, "airflow_triggerer_log_port can't be 0"),
    ({"airflow_triggerer_log_port": 65536}, "airflow_triggerer_log_port can't be 65536"),
    ({"airflow_api_url": "api"}, "airflow_api_url: "),
    ({"airflow_api_url": "http://api/"}, "airflow_api_url: "),
    ({"airflow_worker_stop_timeout": 0}, "airflow_worker_stop_timeout can't be 0"),
    ({"airflow_worker_stop_timeout": 604801}, "airflow_worker_stop_timeout can't be 604801"),
    ({"airflow_drain_timeout": -1}, "airflow_drain_timeout can't be -1"),
    ({"airflow_flower_port": 0}, "airflow_flower_port can't be 0"),
    ({"airflow_flower_port": 65536}, "airflow_flower_port can't be 65536"),
    ({"airflow_flower_host": "a b"}, "airflow_flower_host: "),
    ({"airflow_hardening": "maybe"}, "airflow_hardening: "),
    ({"airflow_admin_user": "a b"}, "airflow_admin_user: "),
    ({"airflow_admin_user": "a" * 65}, "airflow_admin_user: "),
    ({"airflow_admin_email": "nobody"}, "airflow_admin_email: "),
    ({"airflow_admin_email": "a b@c"}, "airflow_admin_email: "),
    ({"airflow_fernet_key": "short"}, "airflow_fernet_key: give 32 bytes in URL-safe base64"),
    ({"airflow_admin_password": 5}, "airflow_admin_password: "),
    ({"airflow_admin_password": "admin"}, "airflow_admin_password is empty or publicly known"),
    ({"airflow_admin_password": " "}, "leave it out to have one generated"),
    ({"airflow_secret_key": "temporary_key"}, "airflow_secret_key is empty or publicly known"),
    ({"airflow_jwt_secret": "airflow_jwt_secret"}, "airflow_jwt_secret is empty or publicly known"),
    (
        {"airflow_fernet_key": "46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho="},
        "airflow_fernet_key is empty or publicly known",
    ),
    ({"postgresql_password": ""}, "postgresql_password is empty or publicly known"),
    ({"postgresql_password": "Postgres"}, "postgresql_password is empty or publicly known"),
    (
        {"postgresql_results_password": "airflow"},
        "postgresql_results_password is empty or publicly known",
    ),
    ({"rabbitmq_password": "guest"}, "rabbitmq_password is empty or publicly known"),
    ({"postgresql_host": "a b"}, "postgresql_host: "),
    ({"postgresql_port": 0}, "postgresql_port can't be 0"),
    ({"postgresql_port": 65536}, "postgresql_port can't be 65536"),
    ({"postgresql_database": "Air-flow"}, "postgresql_database: "),
    ({"postgresql_database": "a" * 64}, "postgresql_database: "),
    ({"postgresql_user": "drop table"}, "postgresql_user: "),
    ({"postgresql_user": "1a"}, "postgresql_user: "),
    ({"postgresql_results_database": "A"}, "postgresql_results_database: "),
    ({"postgresql_results_database": ""}, "postgresql_results_database can't be ''"),
    ({"postgresql_results_user": "A"}, "postgresql_results_user: "),
    ({"postgresql_results_user": "a-b"}, "postgresql_results_user: "),
    ({"rabbitmq_allow": "10.0.0.0/33"}, "rabbitmq_allow can't be '10.0.0.0/33'"),
    ({"rabbitmq_allow": ["example"]}, "rabbitmq_allow: "),
    ({"postgresql_allow": "10.0.0.0/33"}, "postgresql_allow can't be '10.0.0.0/33'"),
    ({"postgresql_allow": ["example"]}, "postgresql_allow: "),
    ({"postgresql_allow": "0.0.0.0/0"}, "set postgresql_allow_insecure = True"),
    ({"postgresql_auth": "md5"}, "postgresql_auth: "),
    ({"postgresql_auth": "trust"}, "set postgresql_allow_insecure = True"),
    ({"postgresql_superuser": True}, "set postgresql_allow_insecure = True"),
    ({"postgresql_listen_addresses": "*"}, "set postgresql_allow_insecure = True"),
    ({"postgresql_listen_addresses": "a'b"}, "postgresql_listen_addresses: "),
    (
        {"airflow_version": "1.8.2", "postgresql_password": "a%b"},
        "postgresql_password has a character",
    ),
    ({"airflow_version": "1.8.2", "rabbitmq_password": "a b"}, "rabbitmq_password has a character"),
    ({"rabbitmq_host": "a b"}, "rabbitmq_host: "),
    ({"rabbitmq_port": 0}, "rabbitmq_port can't be 0"),
    ({"rabbitmq_port": 65536}, "rabbitmq_port can't be 65536"),
    ({"rabbitmq_bind_address": "a b"}, "rabbitmq_bind_address: "),
    ({"rabbitmq_vhost": "/"}, "rabbitmq_vhost can't be '/'"),
    ({"rabbitmq_vhost": "a" * 65}, "rabbitmq_vhost: "),
    ({"rabbitmq_user": ""}, "rabbitmq_user can't be ''"),
    ({"rabbitmq_user": "a:b"}, "rabbitmq_user: "),
    ({"rabbitmq_consumer_timeout": 59}, "rabbitmq_consumer_timeout can't be 59"),
    ({"rabbitmq_consumer_timeout": 31622401}, "rabbitmq_consumer_timeout can't be 31622401"),
    (
        {"airflow_connections": {"a b": "http://x"}},
        "airflow_connections: in a b: string should match",
    ),
    ({"airflow_connections": {"x": {"host": "x"}}}, "in x: give a URI, or at least conn_type"),
    (
        {"airflow_connections": {"x": {"uri": "http://x", "port": 1}}},
        "in x: give a URI or fields, not both: leave out port",
    ),
    ({"airflow_connections": {"x": "geheim"}}, "in x, uri: give TYPE://LOGIN:PASSWORD@HOST"),
    ({"airflow_connections": {"x": "http://a:geheim#@b:1"}}, "special characters as %xx"),
    (
        {"airflow_connections": {"x": {"conn_type": "http", "extra": "geheim"}}},
        "in x, extra: give a mapping, or one as JSON",
    ),
    (
        {"airflow_connections": {"x": {"conn_type": "http", "pasword": "geheim"}}},
        "in x, pasword: extra inputs are not permitted",
    ),
    (
        {"airflow_connections": "no/file.json"},
        "airflow_connections: the file can't be read: No such file",
    ),
    ({"airflow_variables": "README.md"}, "the file README.md is not JSON: line 1"),
    ({"airflow_variables": ["geheim"]}, "airflow_variables: input should be a valid dictionary"),
    ({"airflow_pools": {"x": -2}}, "airflow_pools: in x, slots: input should be greater than"),
    ({"airflow_pools": {"x": {"slot": 1}}}, "airflow_pools: in x, slots: field required"),
    ({"airflow_users": {"x": {"email": "x"}}}, "airflow_users: in x, email: string should match"),
    ({"airflow_users": {"x": {"email": "a@b"}}}, "airflow_users: x has no roles: give some"),
    (
        {"airflow_users": {"x": {"email": "a@b", "roles": "Op", "password": "airflow"}}},
        "the password of x is empty or publicly known",
    ),
    (
        {"airflow_users": {"Admin": {"email": "a@b", "roles": "Op"}}},
        "Admin is the administrator: see airflow_admin_password",
    ),
    ({"airflow_roles": {"x": ["can_read"]}}, "in x, 0: give ACTION on RESOURCE"),
    ({"airflow_roles": {"Viewer": []}}, "Airflow itself manages what Viewer may"),
    ({"airflow_remove_objects": "pool"}, "airflow_remove_objects: "),
    ({"airflow_remove_objects": "pools"}, "would remove all pools: set airflow_pools to those"),
    ({"airflow_version": "1.8.2", "airflow_roles": {}}, "Airflow 1.8.2 knows no roles"),
    (
        {"airflow_version": "1.8.2", "airflow_users": {"x": {"email": "a@b", "roles": "Op"}}},
        "knows no roles of users, which x has",
    ),
    (
        {"airflow_version": "1.8.2", "airflow_users": {"x": {"email": "a@b"}}},
        "airflow_users: x has no password: give some",
    ),
    (
        {"airflow_version": "1.8.2", "airflow_connections": {"x": "http://a:%20@b"}},
        "reads no % or ? in a URI: give fields for x",
    ),
    (
        {"airflow_version": "1.8.2", "airflow_variables": {"x": "d\u00e9j\u00e0"}},
        "only stores ASCII: see x",
    ),
    (
        {
            "airflow_version": "1.10.15",
            "airflow_pools": {"x": {"slots": 1, "include_deferred": True}},
        },
        "knows no include_deferred of pools, which x has",
    ),
    (
        {"airflow_version": "1.8.2", "airflow_webserver_config": "config.py"},
        "Airflow 1.8.2 has no webserver_config.py",
    ),
    (
        {"airflow_version": "1.10.15", "airflow_webserver_config": "config.py"},
        'add "from airflow.configuration import conf" and "SQLALCHEMY_DATABASE_URI = ',
    ),
    ({"airflow_webserver_config": "no.py"}, "airflow_webserver_config: it can't"),
    ({"airflow_webserver_config": "README.md"}, "airflow_webserver_config: line "),
    (
        {"airflow_webserver_config": "config.py", "airflow_config": {"fab": {"config_file": "x"}}},
        "sets [fab] config_file: set airflow_webserver_config instead",
    ),
    ({"rabbitmq_node_name": "rabbit"}, "rabbitmq_node_name: "),
    ({"rabbitmq_node_name": "rabbit@"}, "rabbitmq_node_name: "),
    ({"proxy_prot": 443}, "did you mean proxy_port?"),
    ({"proxy_port": 0}, "proxy_port can't be 0"),
    ({"proxy_port": 65536}, "proxy_port can't be 65536"),
    ({"proxy_http_port": -1}, "proxy_http_port can't be -1"),
    ({"proxy_server_name": "a b"}, "proxy_server_name: "),
    ({"proxy_hsts_days": -1}, "proxy_hsts_days can't be -1"),
    ({"proxy_certificate": "no/such.pem"}, "proxy_certificate: there is no such file or folder"),
    ({"proxy_certificate": "README.md"}, "proxy_certificate_key go together: give both"),
    ({"proxy_certificate_key": "README.md"}, "proxy_certificate_key go together: give both"),
    (
        {"proxy_certificate": "README.md", "proxy_certificate_key": "README.md"},
        "proxy_certificate can't be used: README.md and README.md can't be read as PEM",
    ),
    ({"firewall": "perhaps"}, "firewall: "),
    ({"firewall_alow": {}}, "did you mean firewall_allow?"),
    ({"firewall_allow_ssh": "10.0.0.0/33"}, "firewall_allow_ssh can't be '10.0.0.0/33'"),
    ({"firewall_allow": {0: "10.0.0.0/8"}}, "firewall_allow can't be"),
    ({"firewall_allow": {9100: "everybody"}}, "firewall_allow: "),
]


def test_no_part_hides_what_another_has() -> None:
    own = [
        name
        for part in Model.__mro__[1:-2]
        for name in {*vars(part), *inspect.get_annotations(part)}
        if not _is_of_python(name)
    ]
    assert {"release", "airflow_dags", "proxy_ports"} < set(own)
    assert sorted(own) == sorted(set(own))


def _is_of_python(name: str) -> bool:
    """Tell whether every model has such an attribute."""
    return name.startswith("__") or name in ("model_config", "_abc_impl")


@pytest.mark.parametrize(("data", "sentence"), REFUSED)
def test_a_wrong_setting_is_refused_in_one_sentence(
    tmp_path: Path, data: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        made_up.settings(tmp_path / "secrets.json", **data)
    message = str(refusal.value)
    assert sentence in message
    assert "\n" not in message
    assert "geheim" not in message
    assert not (tmp_path / "secrets.json").exists()


def test_foreign_data_is_left_alone(tmp_path: Path) -> None:
    settings = made_up.settings(tmp_path / "s.json", my_app_port="x", ssh_user="debian")
    assert settings.airflow_web_port == 8080


def test_a_secret_is_in_no_refusal(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        made_up.settings(tmp_path / "s.json", airflow_fernet_key="geheim %")
    assert "geheim" not in str(refusal.value)


def test_settings_do_not_show_secrets_and_can_not_be_changed(tmp_path: Path) -> None:
    settings = made_up.settings(tmp_path / "s.json", postgresql_password="geheim")
    assert "geheim" not in repr((settings, settings.servers, settings.databases))
    with pytest.raises(ValueError, match="frozen"):
        settings.airflow_web_port = 1  # type: ignore[misc]


def test_a_secret_may_be_a_hidden_value_of_pyinfra(tmp_path: Path) -> None:
    settings = made_up.settings(tmp_path / "s.json", rabbitmq_password=HiddenValue("geheim"))
    assert settings.secret("rabbitmq_password") == "geheim"


def test_secrets_are_generated_once(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "secrets.json"
    first, second = made_up.settings(file), made_up.settings(file)
    assert first.secret("postgresql_password") == second.secret("postgresql_password")
    assert len(first.secret("airflow_fernet_key")) == 44
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert (file.parent / ".gitignore").read_text() == "*\n"


def test_no_secret_is_lost_when_several_runs_write_the_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    names = [[f"{run}.{number}" for number in range(50)] for run in range(4)]
    with ProcessPoolExecutor(max_workers=len(names)) as runs:
        made = list(runs.map(_make_keys, repeat(file), names))
    kept = json.loads(file.read_text())
    assert kept == {name: key for keys in made for name, key in keys.items()}
    assert len(kept) == 200


def _make_keys(file: Path, names: list[str]) -> dict[str, str]:
    """Make keys one by one, each after another one that is kept for a moment only."""
    keys = {}
    for name in names:
        secrets.next_key(file, f"{name} for now")
        keys[name] = secrets.next_key(file, name)
        secrets.forget(file, f"{name} for now")
    return keys


def test_a_given_secret_is_not_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_PASSWORD", "from-the-environment")
    file = tmp_path / "secrets.json"
    settings = made_up.settings(file, postgresql_password="from-the-inventory")
    assert settings.secret("rabbitmq_password") == "from-the-environment"
    assert settings.secret("postgresql_password") == "from-the-inventory"
    assert "from-the" not in file.read_text()


def test_a_secrets_file_that_others_could_read_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    made_up.settings(file)
    file.chmod(0o644)
    made_up.settings(file)
    assert file.stat().st_mode & 0o777 == 0o600


GROUPS = {
    "postgresql": ["db"],
    "rabbitmq": ["mq"],
    "api_server": ["web"],
    "scheduler": ["web"],
    "dag_processor": ["web"],
    "worker": ["w1", "w2"],
}


def read(file: Path, name: str, **data: Any) -> Settings:
    return Settings.of(made_up.host(GROUPS, name, airflow_secrets_file=file, **data))


def test_hosts_find_each_other_by_the_inventory(tmp_path: Path) -> None:
    web, worker, database = (read(tmp_path / "s", name) for name in ("web", "w1", "db"))
    assert (web.postgresql_host, worker.rabbitmq_host) == ("db", "mq")
    assert database.postgresql_host == "127.0.0.1"
    assert database.topology.hosts == ("web", "w1", "w2")
    assert database.topology.database_hosts == ("web",)  # no worker of Airflow 3
    assert (web.topology.database_here, worker.topology.database_here) == (True, False)
    assert (web.topology.web_here, worker.topology.web_here) == (True, False)
    assert {c.name for c in web.airflow_components} == {"api-server", "scheduler", "dag-processor"}


def test_a_worker_of_airflow_2_uses_the_database(tmp_path: Path) -> None:
    database = read(tmp_path / "s", "db", airflow_version="2.11.2")
    assert database.topology.database_hosts == ("web", "w1", "w2")


def test_an_airflow_that_would_do_nothing_is_refused(tmp_path: Path) -> None:
    groups = {name: hosts for name, hosts in GROUPS.items() if name != "dag_processor"}
    with pytest.raises(SettingsError, match="without a DAG processor: put a host in the group"):
        Settings.of(made_up.host(groups, "web", airflow_secrets_file=tmp_path / "s"))


@pytest.mark.parametrize(
    ("lock", "sentence"),
    [
        ("apache-airflow==1.8.2\ncelery==4.0.2\n", "pins celery 4.0.2, but Airflow 1.8.2 needs"),
        ("apache-airflow==1.8.2\n", "airflow_lock pins celery nowhere"),
        ("apache-airflow==1.8.1\ncelery==3.1.26\n", "airflow_lock pins apache-airflow 1.8.1"),
        ("celery>=3\n", "line 1 does not pin one version"),
    ],
)
def test_a_lock_that_the_release_can_not_use_is_refused(
    tmp_path: Path, lock: str, sentence: str
) -> None:
    file = tmp_path / "lock.txt"
    file.write_text(lock)
    with pytest.raises(SettingsError) as refusal:
        made_up.settings(tmp_path / "s", airflow_version="1.8.2", airflow_lock=file)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_airflow_without_a_worker_is_refused(tmp_path: Path) -> None:
    groups = {name: hosts for name, hosts in GROUPS.items() if name != "worker"}
    with pytest.raises(SettingsError, match="without a Celery worker: put a host in the group"):
        Settings.of(made_up.host(groups, "web", airflow_secrets_file=tmp_path / "s"))


@pytest.mark.parametrize("part", ["postgresql", "rabbitmq"])
def test_an_airflow_without_a_server_is_refused_unless_its_address_is_given(
    tmp_path: Path, part: str
) -> None:
    groups = {name: hosts for name, hosts in GROUPS.items() if name != part}
    with pytest.raises(SettingsError, match=f"in the group {part}, or set {part}_host"):
        Settings.of(made_up.host(groups, "web", airflow_secrets_file=tmp_path / "s"))
    given = {f"{part}_host": "elsewhere", "airflow_secrets_file": tmp_path / "s"}
    assert Settings.of(made_up.host(groups, "web", **given)).server(part) == "elsewhere"


def test_two_databases_are_refused(tmp_path: Path) -> None:
    host = made_up.host({"postgresql": ["a", "b"]}, "a", airflow_secrets_file=tmp_path / "s")
    with pytest.raises(SettingsError, match="group postgresql has 2 hosts; leave one in it"):
        Settings.of(host)


def test_settings_of_another_project_are_completed(tmp_path: Path) -> None:
    given = Settings(postgresql_port=5433, airflow_secrets_file=tmp_path / "s.json")
    settings = Settings.of(made_up.host({"db": ["a"]}, "a"), given)
    assert settings.postgresql_port == 5433
    assert settings.secret("postgresql_password")


SECRETS = {name: generate() for name, generate in secrets.GENERATORS.items()}


@pytest.mark.parametrize("as_data", [True, False])
def test_settings_with_all_secrets_are_completed_like_others(as_data: bool) -> None:
    host = made_up.host(made_up.everything("a"), "a", **(SECRETS if as_data else {}))
    settings = Settings.of(host, None if as_data else Settings(**SECRETS))  # type: ignore[arg-type]
    settings.check_placed("a")
    assert (settings.server("postgresql"), settings.topology.workers) == ("127.0.0.1", ("a",))
    assert {name: settings.secret(name) for name in SECRETS} == SECRETS


def test_settings_are_completed_once(tmp_path: Path) -> None:
    hidden = HiddenValue("geheim")
    data = {"airflow_secrets_file": tmp_path / "s", "rabbitmq_password": hidden}
    host = made_up.host(made_up.everything("a"), "a", **data)
    settings = Settings.of(host)
    assert Settings.of(host) is settings
    fitted = budget.fitted(settings, made_up.MACHINE)
    assert Settings.of(host, fitted) is fitted
    host.data.airflow_web_port = 8081
    assert Settings.of(host).airflow_web_port == 8081


def test_objects_are_taken_from_mappings_and_files_alike_and_not_shown(tmp_path: Path) -> None:
    fields = {"conn_type": "http", "schema": "s", "extra": {"token": HiddenValue("geheim")}}
    variables = {"text": "x", "list": [1, None], "none": {"x": None}}
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    given = made_up.settings(
        tmp_path / "s",
        airflow_connections={"fields": fields, "uri": HiddenValue("http://a:geheim@b/c")},
        airflow_variables=tmp_path / "variables.json",
        airflow_pools={"two": {"slots": 2, "description": None}},
        airflow_roles={"r": ["can_read on DAGs", "menu access on Docs"]},
        airflow_users={"u": {"email": "u@example.com", "roles": "r, Op", "password": "geheim"}},
    )
    assert given.declared == {
        "roles": {"r": ["can read on DAGs", "menu access on Docs"]},
        "users": {"u": {"email": "u@example.com", "roles": ["r", "Op"], "password": "geheim"}},
        "pools": {"two": {"slots": 2}},
        "connections": {
            "fields": {"conn_type": "http", "schema": "s", "extra": '{"token": "geheim"}'},
            "uri": {"uri": "http://a:geheim@b/c"},
        },
        "variables": variables,
    }
    assert list(given.declared) == list(KINDS)
    assert "geheim" not in repr(given)
    again = {f"airflow_{kind}": content for kind, content in given.declared.items()}
    assert made_up.settings(tmp_path / "s", **again).declared == given.declared
    assert all(is_secret(f"airflow_{kind}") for kind in KINDS)


def test_a_folder_in_the_place_of_the_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dags/repository").mkdir(parents=True)
    data = {"airflow_dags": tmp_path / "dags", "airflow_dags_repository": "https://host/dags.git"}
    with pytest.raises(SettingsError, match="has an entry `repository`"):
        made_up.settings(tmp_path / "s.json", **data)


def test_requirements_beside_the_lock_are_resolved_within_it(tmp_path: Path) -> None:
    plain = made_up.settings(tmp_path / "s.json").wanted("3.11")
    more = {"airflow_requirements": "zzz>=1,<2\ncelery>=5\n"}
    wanted = made_up.settings(tmp_path / "s.json", **more).wanted("3.11")
    assert (plain.requirement, plain.constraints) == ("", "")
    assert wanted.pins == plain.pins
    assert wanted.requirement == "celery>=5\nzzz>=1,<2"
    assert f"celery=={plain.pins['celery']}\n" in wanted.constraints
    assert wanted.digest != plain.digest


def test_hosts_of_the_api_alone_need_no_dags(tmp_path: Path) -> None:
    groups = {**GROUPS, "api_server": ["api"]}
    hosts = {
        name: Settings.of(made_up.host(groups, name, airflow_secrets_file=tmp_path / "s"))
        for name in ("api", "web", "w1", "db")
    }
    assert {name: each.reads_dags for name, each in hosts.items()} == {
        "api": False, "web": True, "w1": True, "db": False,
    }  # fmt: skip


def test_valkey_takes_the_place_of_redis_by_its_settings(tmp_path: Path) -> None:
    groups = {**made_up.everything("192.0.2.10"), "rabbitmq": [], "valkey": ["192.0.2.10"]}
    given = {"airflow_secrets_file": tmp_path / "s", "redis_tls": True}
    settings = Settings.of(made_up.host(groups, "192.0.2.10", **given))
    assert (settings.broker, settings.redis_host, settings.foreign) == ("redis", "127.0.0.1", ())
    assert settings.redis_certificate
    both = {**groups, "rabbitmq": ["192.0.2.10"]}
    with pytest.raises(SettingsError, match="there are two brokers, RabbitMQ and Valkey: leave"):
        Settings.of(made_up.host(both, "192.0.2.10", **given))
