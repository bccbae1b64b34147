"""Secrets are read from a host's environment file as this package has written it."""

from pathlib import Path

import pytest

from tasks.airflow import airflow_cfg
from tasks.day_two.fetch import read
from tasks.settings.secrets import GENERATORS
from tests.support import made_up

AWKWARD = "p@ss/w:rd%2F$HOME'\"`\\ #?&"
MODERN = frozenset(GENERATORS) - {"redis_password"}
OLDER = MODERN - {"airflow_jwt_secret", "postgresql_results_password"}


@pytest.mark.parametrize(
    ("release", "names"),
    [
        ("3.3.2", MODERN),
        ("2.11.2", OLDER),
        ("1.10.15", OLDER),
        # A URL holds no more than letters and digits there.
        ("1.8.2", OLDER),
    ],
)
def test_every_secret_comes_back(release: str, names: frozenset[str], tmp_path: Path) -> None:
    given = {} if release == "1.8.2" else {"postgresql_password": AWKWARD}
    settings = made_up.settings(
        tmp_path / "s", airflow_version=release, airflow_admin_password=AWKWARD, **given
    )
    text = airflow_cfg.environment_file(airflow_cfg.secret_environment(settings))
    assert read(text) == {name: settings.secret(name) for name in names}


def test_redis_is_told_from_rabbitmq() -> None:
    url = "rediss://:s3cret%40word@192.0.2.11:6379/0"
    assert read(f'AIRFLOW__CELERY__BROKER_URL="{url}"\n') == {"redis_password": "s3cret@word"}


def test_a_host_without_secrets_has_none() -> None:
    assert read("") == {}
