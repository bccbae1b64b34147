"""The hand-made Airflow of the tests is one: it works, and what is done to it is seen."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
import requests

from tests.support.handmade import Handmade, make
from tests.support.hosts import Network

# The tests that use it are run always.
pytestmark = [pytest.mark.docker, pytest.mark.sweep]

DAMAGE = {
    "rows": "runuser -u postgres -- psql airflow -c \"DELETE FROM variable WHERE key = 'token'\"",
    "files": "chmod 644 /home/ubuntu/airflow/airflow.cfg",
    "postgresql": "runuser -u postgres -- psql -c 'ALTER ROLE airflow NOSUPERUSER'",
    "rabbitmq": "rabbitmqctl purge_queue invoices </dev/null",
    "systemd": "systemctl restart rabbitmq-server",
    "processes": "systemctl stop airflow-webserver",
}


@pytest.fixture(scope="module")
def made(network: Network) -> Iterator[Handmade]:
    """A copy of a hand-made one, as tests of damage start from."""
    first = make(network.host("hand", distribution="bookworm"), nginx=True, shop=True)
    image = network.keep(first.host)
    made = replace(first, host=network.copy(image, "hand-copy"))
    made.start()
    yield made
    network.drop(made.host)


def test_it_schedules_and_opens_its_secrets(made: Handmade) -> None:
    before = made.snapshot()
    made.works()
    after = made.snapshot()
    rows = set(before.pop("rows")) ^ set(after.pop("rows"))
    assert {line.split("|")[0] for line in rows} == {"dag_run"}
    assert before == after
    assert "invoices\ttrue\t3" in after["rabbitmq"]


def test_it_has_neighbours(made: Handmade) -> None:
    page = requests.get(f"http://{made.host.address}/health", timeout=30)
    assert page.json()["scheduler"]["status"] == "healthy"
    assert [line for line in made.snapshot()["postgresql"] if line.startswith("client|shop|")]


def test_its_secrets_are_found_in_whatever_form(made: Handmade) -> None:
    shown = made.host.ssh("cat /home/ubuntu/airflow/airflow.cfg").stdout
    assert set(made.leaked(shown)) == {"fernet_key", "postgresql", "secret_key", "smtp"}
    assert made.leaked("nothing of it") == []


@pytest.mark.parametrize("part", DAMAGE)
def test_damage_is_seen(made: Handmade, part: str) -> None:
    before = made.snapshot()
    made.host.ssh(DAMAGE[part])
    assert made.snapshot()[part] != before[part]


def test_a_lost_key_is_seen(made: Handmade) -> None:
    made.host.ssh("sed -i 's/^fernet_key = ./fernet_key = A/' /home/ubuntu/airflow/airflow.cfg")
    with pytest.raises(subprocess.CalledProcessError):
        made.opens()
