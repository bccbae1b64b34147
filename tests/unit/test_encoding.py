"""A password of any printable characters arrives as it was given, whoever reads it."""

import subprocess
from configparser import ConfigParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.airflow import airflow_cfg
from tests.support import made_up

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
PASSWORDS = st.text(PRINTABLE, min_size=1).map(lambda text: f"x{text}")
KEYS = ("database_url", "broker_url")

# Rather few examples, since a shell is started for each.
some = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def sourced(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """Read an environment file as a shell does."""
    file = folder / "file.env"
    file.write_text(airflow_cfg.environment_file(variables))
    script = f"set -a; . {file}; exec env -0"
    done = subprocess.run(
        ["env", "-i", "/bin/sh", "-c", script], capture_output=True, text=True, check=True
    )
    pairs = (entry.split("=", 1) for entry in done.stdout.split("\0") if entry)
    return {name: value for name, value in pairs if name in variables}


@pytest.mark.parametrize("release", ["3.3.2", "2.11.2", "1.10.15"])
@some
@given(password=PASSWORDS)
def test_urls_and_logins_reach_airflow_s_environment(
    tmp_path: Path, release: str, password: str
) -> None:
    made = made_up.settings(
        tmp_path / "s",
        airflow_version=release,
        airflow_admin_password=password,
        postgresql_password=password,
        rabbitmq_password=password,
    )
    variables = airflow_cfg.secret_environment(made)
    assert sourced(tmp_path, variables) == variables
    assert variables["FLOWER_BASIC_AUTH"] == f"admin:{password}"
    for meaning in KEYS:
        section, key = made.release.keys[meaning]
        url = urlsplit(variables[f"AIRFLOW__{section.upper()}__{key.upper()}"])
        assert (url.hostname, unquote(url.password or "")) == ("127.0.0.1", password)


@some
@given(value=st.text(PRINTABLE).map(str.strip))
def test_a_value_of_airflow_cfg_is_read_back(tmp_path: Path, value: str) -> None:
    made = made_up.settings(tmp_path / "s", airflow_config={"smtp": {"smtp_user": value}})
    parsed = ConfigParser()
    parsed.read_string(airflow_cfg.render(made))
    assert parsed["smtp"]["smtp_user"] == value
