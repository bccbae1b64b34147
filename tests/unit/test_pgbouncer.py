"""PgBouncer before the database: who goes through it, and what it reads."""

import configparser
from pathlib import Path
from typing import Any

import pytest

from tasks.airflow import airflow_cfg
from tasks.catalog.servers import POSTGRESQL
from tasks.day_two.verify import needed, ports
from tasks.servers.firewall import allowed
from tasks.servers.pgbouncer import FILES, configuration
from tasks.servers.postgresql import hba_lines
from tasks.settings import Settings, SettingsError
from tasks.settings.endpoints import listeners
from tests.support import made_up

MARK = "# Managed by pyinfra-airflow."
DATA, SCHEDULER, WORKER = "192.0.2.1", "192.0.2.2", "192.0.2.3"
GROUPS = {
    "postgresql": [DATA],
    "pgbouncer": [DATA],
    "rabbitmq": [DATA],
    "scheduler": [SCHEDULER],
    "worker": [WORKER],
    "webserver": [SCHEDULER],
    "triggerer": [SCHEDULER],
    "dag_processor": [SCHEDULER],
}


def settings(folder: Path, name: str, **data: Any) -> Settings:
    """Read the settings of one of three hosts of Airflow 2, whose workers use the database too."""
    data = {"airflow_version": "2.11.2", "airflow_secrets_file": folder / "s", **data}
    return Settings.of(made_up.host(GROUPS, name, **data))


def test_airflow_goes_through_it_and_its_migrations_past_it(tmp_path: Path) -> None:
    for name in (SCHEDULER, WORKER):
        host = settings(tmp_path, name, firewall=True)
        secrets = airflow_cfg.secret_environment(host)
        assert f"@{DATA}:6432/airflow" in secrets["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        assert f"@{DATA}:6432/airflow" in secrets["AIRFLOW__CELERY__RESULT_BACKEND"]
        assert airflow_cfg.environment(host)["AIRFLOW_DATABASE_PORT"] == "5432"
        assert f"{DATA} 6432" in needed(host)
    data = settings(tmp_path, DATA, firewall=True)
    assert [line.split()[3] for line in hba_lines(data)] == [
        "127.0.0.1/32",
        "::1/128",
        f"{SCHEDULER}/32",
    ]
    opened = allowed(data)
    assert (opened[5432], sorted(opened[6432])) == ([SCHEDULER], [SCHEDULER, WORKER])
    assert set(ports(data)) == {5432, 5672, 6432}


def test_without_it_nothing_is_said_of_it(tmp_path: Path) -> None:
    host = made_up.settings(tmp_path / "s")
    assert "AIRFLOW_DATABASE_PORT" not in airflow_cfg.environment(host)
    assert "airflow_async" not in airflow_cfg.render(host)


def test_on_one_host_both_are_for_loopback_alone(tmp_path: Path) -> None:
    everything = {**made_up.everything(DATA), "pgbouncer": [DATA]}
    host = Settings.of(made_up.host(everything, DATA, airflow_secrets_file=tmp_path / "s"))
    main = configuration(host)[FILES[0]].text
    assert "listen_addr = 127.0.0.1\n" in main
    assert listeners(host, POSTGRESQL) == ("localhost",)
    assert "sql_alchemy_connect_args_async = airflow_async.ASYNC" in airflow_cfg.render(host)


def test_its_files_hold_any_password_and_the_first_none(tmp_path: Path) -> None:
    password = "".join(map(chr, range(32, 127)))
    files = configuration(settings(tmp_path, DATA, postgresql_password=password))
    main, users, rules, _ = (files[path] for path in FILES)
    assert users.text == '"airflow" "' + password.replace('"', '""') + f'" {MARK}\n'
    assert (users.mode, users.user, users.secret) == ("640", "postgres", True)
    read = configparser.ConfigParser()
    read.read_string(main.text)
    assert read["databases"]["airflow"] == "host=127.0.0.1 port=5432"
    assert read["pgbouncer"]["listen_addr"] == f"127.0.0.1,{DATA}"
    assert password not in main.text + rules.text


def test_each_role_has_its_own_database_alone_however_many_hosts_there_are(tmp_path: Path) -> None:
    host = settings(tmp_path, DATA, airflow_version="3.3.2", postgresql_tls=True)
    assert configuration(host)[FILES[2]].text.splitlines() == [
        MARK,
        "hostssl airflow airflow 0.0.0.0/0 scram-sha-256",
        "hostssl airflow airflow ::/0 scram-sha-256",
        "hostssl airflow_results airflow_results 0.0.0.0/0 scram-sha-256",
        "hostssl airflow_results airflow_results ::/0 scram-sha-256",
    ]


@pytest.mark.parametrize(
    ("groups", "data", "sentence"),
    [
        ({"pgbouncer": [WORKER]}, {}, f"group pgbouncer has {WORKER}, which does not run postgres"),
        ({"postgresql": []}, {"postgresql_host": "db"}, "leave it out if the database is external"),
        ({}, {"pgbouncer_port": 5432}, "port 5432 is used twice: give pgbouncer_port"),
        ({}, {"pgbouncer_pool_size": 0}, "pgbouncer_pool_size"),
    ],
)
def test_what_can_not_be_is_refused(
    tmp_path: Path, groups: dict[str, list[str]], data: dict[str, Any], sentence: str
) -> None:
    host = made_up.host(
        {**GROUPS, **groups},
        SCHEDULER,
        airflow_version="2.11.2",
        airflow_secrets_file=tmp_path / "s",
        **data,
    )
    with pytest.raises(SettingsError, match=sentence):
        Settings.of(host)
