"""How memory is shared out, in numbers."""

from pathlib import Path
from typing import Any

import pytest

from tasks.catalog.releases import GROUPS, RELEASES
from tasks.catalog.servers import EXPORTERS
from tasks.settings import Settings, SettingsError
from tasks.settings.budget import Machine, fitted, limits, needs
from tests.support import made_up

NO_LIMIT = 1 << 40


def machine(memory: int, *, swap: int = 0, most_swap: int = NO_LIMIT, cores: int = 2) -> Machine:
    return Machine(memory, swap, most_swap, cores)


def settings(folder: Path, *groups: str, **data: Any) -> Settings:
    """Read the settings of a host in these groups; the others are another one's."""
    members = {
        group: ["192.0.2.1" if group in (groups or GROUPS) else "192.0.2.2"]
        for group in GROUPS
        if group not in ("redis", "valkey", "pgbouncer", *(each.group for each in EXPORTERS))
    }
    return Settings.of(
        made_up.host(members, "192.0.2.1", airflow_secrets_file=folder / "s", **data)
    )


def test_the_walkthroughs_stack_fits_512_mib_by_a_swap_file(tmp_path: Path) -> None:
    small = fitted(settings(tmp_path, airflow_version="1.8.2"), machine(512))
    assert (small.airflow_web_workers, small.airflow_worker_concurrency) == (1, 1)
    assert small.airflow_swap == 512


def test_swap_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    small = fitted(settings(tmp_path, airflow_version="1.8.2"), machine(512, swap=1024))
    assert small.airflow_swap == 0


@pytest.mark.parametrize("release", [release.version for release in RELEASES])
def test_more_memory_is_never_less_of_anything(tmp_path: Path, release: str) -> None:
    found = [
        fitted(settings(tmp_path, airflow_version=release), machine(memory))
        for memory in range(2048, 32768, 512)
    ]
    for name in ("airflow_web_workers", "postgresql_shared_buffers", "rabbitmq_memory_limit"):
        numbers = [getattr(each, name) for each in found]
        assert numbers == sorted(numbers)
    assert found[-1].airflow_worker_concurrency == 8  # four a core
    assert [each.airflow_swap for each in found[-8:]] == [0] * 8


def test_what_is_set_by_hand_stays(tmp_path: Path) -> None:
    given = {
        "airflow_web_workers": 3,
        "airflow_worker_concurrency": 9,
        "airflow_worker_memory": 4000,
        "airflow_swap": 100,
        "postgresql_shared_buffers": 77,
        "rabbitmq_memory_limit": 333,
    }
    found = fitted(settings(tmp_path, **given), machine(16384))
    assert {name: getattr(found, name) for name in given} == given
    assert fitted(found, machine(16384)) == found


@pytest.mark.parametrize(
    ("memory", "data"),
    [
        (machine(512), {}),
        (machine(1024, most_swap=0), {}),
        (machine(1280), {"airflow_swap": 0}),
        (machine(4096), {"airflow_worker_concurrency": 100}),
    ],
)
def test_what_does_not_fit_is_refused_with_the_sum(
    tmp_path: Path, memory: Machine, data: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError) as refused:
        fitted(settings(tmp_path, **data), memory)
    assert f"{memory.memory} MiB of memory" in str(refused.value)
    assert "(the system 100, postgresql " in str(refused.value)
    assert "airflow_swap" in str(refused.value)


def test_swap_by_hand_may_be_more_than_memory(tmp_path: Path) -> None:
    found = fitted(settings(tmp_path, airflow_swap=2048), machine(512))
    assert (found.airflow_swap, found.airflow_worker_concurrency) == (2048, 1)


def test_a_server_alone_on_its_host_takes_more_of_it(tmp_path: Path) -> None:
    alone = fitted(settings(tmp_path, "postgresql"), machine(4096))
    assert alone.postgresql_shared_buffers == 1024
    assert fitted(settings(tmp_path, "rabbitmq"), machine(4096)).rabbitmq_memory_limit == 1638
    shared = fitted(settings(tmp_path), machine(4096))
    assert (shared.postgresql_shared_buffers, shared.rabbitmq_memory_limit) == (256, 512)


def test_the_limits_of_units_hold_what_they_need_and_no_more_than_there_is(tmp_path: Path) -> None:
    for memory in (2048, 4096, 16384):
        found = fitted(settings(tmp_path), machine(memory))
        for component in found.airflow_components:
            high, most = limits(found, component)
            assert needs(found)[component.name] < high < most
        worker = found.release.component("worker")
        assert limits(found, worker)[1] < memory + (found.airflow_swap or 0)
