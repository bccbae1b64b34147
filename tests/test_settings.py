"""Settings: what an inventory says, completed and refused."""

from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import HiddenValue

from tasks import Settings, SettingsError
from tests import made_up

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"airflow_webport": 80}, "did you mean airflow_web_port?"),
    ({"postgresql_passwort": "x"}, "did you mean postgresql_password?"),
    ({"rabbitmq_colour": "x"}, "unknown setting rabbitmq_colour"),
    ({"airflow_version": "1.9.0"}, "airflow_version can't be '1.9.0'"),
    ({"airflow_version": "3.3.1"}, "airflow_version 3.3.1 has no lock here"),
    ({"airflow_version": "2.10.5"}, "and their lines: 2.11.2 is near"),
    ({"airflow_version": 1.8}, "airflow_version can't be 1.8"),
    ({"airflow_extras": "postgrs"}, "has no extra postgrs: did you mean postgres?"),
    ({"airflow_extras": ["celery", "zzz"]}, "has no extra zzz: it has "),
    ({"airflow_lock": "no/such/lock.txt"}, "airflow_lock can't be 'no/such/lock.txt'"),
    ({"airflow_wheelhouse": "no/such/folder"}, "there is no folder no/such/folder on this machine"),
    (
        {"airflow_wheelhouse": "tests"},
        "airflow_wheelhouse tests lacks apache-airflow 3.3.2: fill it",
    ),
    ({"airflow_dags": "no/such/folder"}, "airflow_dags can't be 'no/such/folder'"),
    ({"airflow_home": "var/lib"}, "airflow_home can't be 'var/lib': give an absolute path"),
    ({"airflow_home": "/var/lib/my flow"}, "airflow_home can't be '/var/lib/my flow'"),
    ({"airflow_config": {"core": 1}}, "airflow_config: input should be a valid dictionary"),
    ({"airflow_config": {"core": {"x": "a\nb"}}}, "[core] x must be one line"),
    ({"airflow_config": {"core": {"fernet_key": "x"}}}, "set airflow_fernet_key instead"),
    ({"airflow_config": {"api": {"port": 1}}}, "set airflow_web_port instead"),
    ({"airflow_address": "a b"}, "airflow_address can't be 'a b'"),
    ({"airflow_web_host": ""}, "airflow_web_host can't be ''"),
    ({"airflow_web_host": "0.0.0.0; rm"}, "airflow_web_host can't be"),
    ({"airflow_web_port": 0}, "airflow_web_port can't be 0"),
    ({"airflow_web_port": 65536}, "airflow_web_port can't be 65536"),
    ({"airflow_web_port": "8080"}, "airflow_web_port can't be '8080'"),
    ({"airflow_web_workers": 0}, "airflow_web_workers can't be 0"),
    ({"airflow_web_workers": 65}, "airflow_web_workers can't be 65"),
    ({"airflow_base_url": "airflow.example"}, "airflow_base_url can't be 'airflow.example'"),
    ({"airflow_base_url": "https://a b"}, "airflow_base_url can't be"),
    ({"airflow_report_webhook": "hooks.example.com"}, "airflow_report_webhook is no URL"),
    ({"airflow_report_email": "a@example.com"}, "airflow_report_email needs a mail server"),
    ({"airflow_nightly_at": "24:00"}, "airflow_nightly_at can't be '24:00'"),
    ({"airflow_worker_concurrency": 0}, "airflow_worker_concurrency can't be 0"),
    ({"airflow_worker_concurrency": 1025}, "airflow_worker_concurrency can't be 1025"),
    ({"airflow_worker_queues": []}, "airflow_worker_queues can't be []"),
    ({"airflow_worker_queues": "a b"}, "airflow_worker_queues can't be 'a b'"),
    ({"airflow_default_queue": "a b"}, "airflow_default_queue can't be 'a b'"),
    ({"airflow_default_queue": ""}, "airflow_default_queue can't be ''"),
    ({"airflow_default_queue": "slow"}, "no worker takes tasks from airflow_default_queue 'slow'"),
    (
        {"airflow_worker_queues": "a,b"},
        "add it to the airflow_worker_queues of one, which now have",
    ),
    ({"airflow_worker_log_port": 0}, "airflow_worker_log_port can't be 0"),
    ({"airflow_worker_log_port": 65536}, "airflow_worker_log_port can't be 65536"),
    ({"airflow_triggerer_log_port": 0}, "airflow_triggerer_log_port can't be 0"),
    ({"airflow_triggerer_log_port": 65536}, "airflow_triggerer_log_port can't be 65536"),
    ({"airflow_api_url": "api"}, "airflow_api_url can't be 'api'"),
    ({"airflow_api_url": "http://api/"}, "airflow_api_url can't be 'http://api/'"),
    ({"airflow_worker_stop_timeout": 0}, "airflow_worker_stop_timeout can't be 0"),
    ({"airflow_worker_stop_timeout": 604801}, "airflow_worker_stop_timeout can't be 604801"),
    ({"airflow_drain_timeout": -1}, "airflow_drain_timeout can't be -1"),
    ({"airflow_flower_port": 0}, "airflow_flower_port can't be 0"),
    ({"airflow_flower_port": 65536}, "airflow_flower_port can't be 65536"),
    ({"airflow_flower_host": "a b"}, "airflow_flower_host can't be 'a b'"),
    ({"airflow_hardening": "maybe"}, "airflow_hardening can't be 'maybe'"),
    ({"airflow_admin_user": "a b"}, "airflow_admin_user can't be 'a b'"),
    ({"airflow_admin_user": "a" * 65}, "airflow_admin_user can't be"),
    ({"airflow_admin_email": "nobody"}, "airflow_admin_email can't be 'nobody'"),
    ({"airflow_admin_email": "a b@c"}, "airflow_admin_email can't be 'a b@c'"),
    ({"airflow_fernet_key": "short"}, "airflow_fernet_key: give 32 bytes in URL-safe base64"),
    ({"airflow_admin_password": 5}, "airflow_admin_password: "),
    ({"airflow_admin_password": "admin"}, "airflow_admin_password is empty or one that everybody"),
    ({"airflow_admin_password": " "}, "leave it out to have one generated"),
    ({"airflow_secret_key": "temporary_key"}, "airflow_secret_key is empty or one"),
    ({"airflow_jwt_secret": "airflow_jwt_secret"}, "airflow_jwt_secret is empty or one"),
    (
        {"airflow_fernet_key": "46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho="},
        "airflow_fernet_key is empty or one that everybody knows",
    ),
    ({"postgresql_password": ""}, "postgresql_password is empty or one that everybody knows"),
    ({"postgresql_password": "Postgres"}, "postgresql_password is empty or one"),
    ({"postgresql_results_password": "airflow"}, "postgresql_results_password is empty or one"),
    ({"rabbitmq_password": "guest"}, "rabbitmq_password is empty or one that everybody knows"),
    ({"postgresql_host": "a b"}, "postgresql_host can't be 'a b'"),
    ({"postgresql_port": 0}, "postgresql_port can't be 0"),
    ({"postgresql_port": 65536}, "postgresql_port can't be 65536"),
    ({"postgresql_database": "Air-flow"}, "postgresql_database can't be 'Air-flow'"),
    ({"postgresql_database": "a" * 64}, "postgresql_database can't be"),
    ({"postgresql_user": "drop table"}, "postgresql_user can't be 'drop table'"),
    ({"postgresql_user": "1a"}, "postgresql_user can't be '1a'"),
    ({"postgresql_results_database": "A"}, "postgresql_results_database can't be 'A'"),
    ({"postgresql_results_database": ""}, "postgresql_results_database can't be ''"),
    ({"postgresql_results_user": "A"}, "postgresql_results_user can't be 'A'"),
    ({"postgresql_results_user": "a-b"}, "postgresql_results_user can't be 'a-b'"),
    ({"rabbitmq_allow": "10.0.0.0/33"}, "rabbitmq_allow can't be '10.0.0.0/33'"),
    ({"rabbitmq_allow": ["example"]}, "rabbitmq_allow can't be 'example'"),
    ({"postgresql_allow": "10.0.0.0/33"}, "postgresql_allow can't be '10.0.0.0/33'"),
    ({"postgresql_allow": ["example"]}, "postgresql_allow can't be 'example'"),
    ({"postgresql_allow": "0.0.0.0/0"}, "postgresql_allow_insecure = True consents"),
    ({"postgresql_auth": "md5"}, "postgresql_auth can't be 'md5'"),
    ({"postgresql_auth": "trust"}, "postgresql_allow_insecure = True consents"),
    ({"postgresql_superuser": True}, "postgresql_allow_insecure = True consents"),
    ({"postgresql_listen_addresses": "*"}, "postgresql_allow_insecure = True consents"),
    ({"postgresql_listen_addresses": "a'b"}, "postgresql_listen_addresses can't be"),
    (
        {"airflow_version": "1.8.2", "postgresql_password": "a%b"},
        "postgresql_password has a character",
    ),
    ({"airflow_version": "1.8.2", "rabbitmq_password": "a b"}, "rabbitmq_password has a character"),
    ({"rabbitmq_host": "a b"}, "rabbitmq_host can't be 'a b'"),
    ({"rabbitmq_port": 0}, "rabbitmq_port can't be 0"),
    ({"rabbitmq_port": 65536}, "rabbitmq_port can't be 65536"),
    ({"rabbitmq_bind_address": "a b"}, "rabbitmq_bind_address can't be 'a b'"),
    ({"rabbitmq_vhost": "/"}, "rabbitmq_vhost can't be '/'"),
    ({"rabbitmq_vhost": "a" * 65}, "rabbitmq_vhost can't be"),
    ({"rabbitmq_user": ""}, "rabbitmq_user can't be ''"),
    ({"rabbitmq_user": "a:b"}, "rabbitmq_user can't be 'a:b'"),
    ({"rabbitmq_consumer_timeout": 59}, "rabbitmq_consumer_timeout can't be 59"),
    ({"rabbitmq_consumer_timeout": 31622401}, "rabbitmq_consumer_timeout can't be 31622401"),
    ({"rabbitmq_node_name": "rabbit"}, "rabbitmq_node_name can't be 'rabbit'"),
    ({"rabbitmq_node_name": "rabbit@"}, "rabbitmq_node_name can't be 'rabbit@'"),
    ({"proxy_prot": 443}, "did you mean proxy_port?"),
    ({"proxy_port": 0}, "proxy_port can't be 0"),
    ({"proxy_port": 65536}, "proxy_port can't be 65536"),
    ({"proxy_http_port": -1}, "proxy_http_port can't be -1"),
    ({"proxy_server_name": "a b"}, "proxy_server_name can't be 'a b'"),
    ({"proxy_hsts_days": -1}, "proxy_hsts_days can't be -1"),
    ({"proxy_certificate": "no/such.pem"}, "proxy_certificate can't be 'no/such.pem'"),
    ({"proxy_certificate": "README.md"}, "proxy_certificate_key go together: set both"),
    ({"proxy_certificate_key": "README.md"}, "proxy_certificate_key go together: set both"),
    (
        {"proxy_certificate": "README.md", "proxy_certificate_key": "README.md"},
        "proxy_certificate is no certificate in PEM",
    ),
    ({"firewall": "perhaps"}, "firewall can't be 'perhaps'"),
    ({"firewall_alow": {}}, "did you mean firewall_allow?"),
    ({"firewall_allow_ssh": "10.0.0.0/33"}, "firewall_allow_ssh can't be '10.0.0.0/33'"),
    ({"firewall_allow": {0: "10.0.0.0/8"}}, "firewall_allow can't be"),
    ({"firewall_allow": {9100: "everybody"}}, "firewall_allow can't be 'everybody'"),
]


@pytest.mark.parametrize(("data", "sentence"), REFUSED)
def test_a_wrong_setting_is_refused_in_one_sentence(
    tmp_path: Path, data: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        made_up.settings(tmp_path / "secrets.json", **data)
    message = str(refusal.value)
    assert sentence in message
    assert "\n" not in message
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
    assert "geheim" not in repr(settings)
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
        ("apache-airflow==1.8.2\ncelery==4.0.2\n", "pins celery 4.0.2, but Airflow 1.8.2 wants"),
        ("apache-airflow==1.8.2\n", "airflow_lock pins celery nowhere"),
        ("apache-airflow==1.8.1\ncelery==3.1.26\n", "airflow_lock pins apache-airflow 1.8.1"),
        ("celery>=3\n", "'celery>=3' does not pin one version"),
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
