"""How a host's memory is divided. Pure: from what a machine has and what runs there to numbers.

The components' figures are in the table of releases, those of servers in theirs; every number
here is MiB.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..catalog import servers
from ..catalog.model import Component
from .inventory import Settings
from .types import SettingsError

_SYSTEM = 100
"""What Debian with systemd, sshd and its journal takes."""
_TASKS_PER_CORE = 4
_MOST_TASKS = 16
"""Airflow's own default."""
_STEP = 64
_MARGIN = 128


@dataclass(frozen=True)
class Machine:
    """What a host has to offer."""

    memory: int
    """Memory, or the part that its container may use."""
    swap: int
    """Swap beside our own file."""
    most_swap: int
    """Swap that may be used at all: a container's limit may be none."""
    cores: int


def fitted(settings: Settings, machine: Machine) -> Settings:
    """Fill in what the settings leave open with numbers that fit ``machine``.

    SettingsError has the sum when the host can't hold its components.
    """
    settings = _with(
        settings,
        postgresql_shared_buffers=_shared_buffers(settings, machine),
        rabbitmq_memory_limit=_memory_limit(settings, machine),
    )
    least = sum(
        needs(_with(settings, airflow_web_workers=1, airflow_worker_concurrency=1)).values()
    )
    settings = _with(settings, airflow_web_workers=2 if machine.memory >= 2 * least else 1)
    settings = _with(settings, airflow_worker_concurrency=_concurrency(settings, machine))
    need = sum(needs(settings).values())
    # By itself a host is not made to live in swap more than in memory.
    most = machine.most_swap
    most = min(most, machine.memory) if settings.airflow_swap is None else most
    settings = _with(settings, airflow_swap=_swap(need, machine, most))
    _check(settings, machine, most)
    return _with(settings, airflow_worker_memory=_left_to_the_worker(settings, machine))


def needs(settings: Settings) -> dict[str, int]:
    """Return what the host's components take with these settings: name -> MiB, the system first."""
    here = [each for each in servers.EVERY if each.group in settings.topology.components]
    more = {servers.POSTGRESQL: settings.postgresql_shared_buffers or 0}
    return {
        "the system": _SYSTEM,
        **{each.group: each.memory + more.get(each, 0) for each in here},
        **{each.name: _need(settings, each) for each in settings.airflow_components},
    }


def limits(settings: Settings, component: Component) -> tuple[int, int]:
    """Return ``MemoryHigh`` and ``MemoryMax`` of a component's unit.

    They are there against leaks, far above what it takes. A worker has what the others leave.
    """
    if component.name == "worker":
        most = settings.airflow_worker_memory or 0
    else:
        most = max(4 * _need(settings, component), 1024)
    return most * 9 // 10, most


def _need(settings: Settings, component: Component) -> int:
    release = settings.release
    counts = {
        "worker": settings.airflow_worker_concurrency,
        release.web.name: settings.airflow_web_workers,
    }
    return component.memory + component.memory_each * (counts.get(component.name) or 0)


def _with(settings: Settings, **numbers: int) -> Settings:
    """Set what is not set yet."""
    unset = {name: value for name, value in numbers.items() if getattr(settings, name) is None}
    return settings.model_copy(update=unset)


def _alone(settings: Settings, name: str) -> bool:
    return settings.topology.components - {each.group for each in servers.EXPORTERS} == {name}


def _shared_buffers(settings: Settings, machine: Machine) -> int:
    """A quarter for a server alone on its host, as PostgreSQL's manual has it."""
    share = machine.memory // (4 if _alone(settings, "postgresql") else 16)
    return min(max(share // 16 * 16, 16), 8192)


def _memory_limit(settings: Settings, machine: Machine) -> int:
    """Two fifths for a broker alone on its host, as RabbitMQ has it."""
    alone = _alone(settings, "rabbitmq")
    return max(machine.memory * 2 // 5 if alone else machine.memory // 8, 256)


def _concurrency(settings: Settings, machine: Machine) -> int:
    """As many tasks as half of what is left holds: what they do themselves takes memory too."""
    worker = settings.release.component("worker")
    if worker not in settings.airflow_components:
        return 1
    left = machine.memory - sum(needs(_with(settings, airflow_worker_concurrency=1)).values())
    fitting = 1 + max(left, 0) // (2 * worker.memory_each)
    return min(fitting, machine.cores * _TASKS_PER_CORE, _MOST_TASKS)


def _swap(need: int, machine: Machine, most: int) -> int:
    """What is missing and a margin, in steps."""
    missing = need - machine.memory - machine.swap
    if missing <= 0:
        return 0
    wanted = -(-(missing + _MARGIN) // 256) * 256
    return min(wanted, max(most - machine.swap, 0))


def _check(settings: Settings, machine: Machine, most: int) -> None:
    """Refuse what would be killed for lack of memory."""
    parts = needs(settings)
    need = sum(parts.values())
    swap = min(machine.swap + (settings.airflow_swap or 0), most)
    if need <= machine.memory + swap:
        return
    listed = ", ".join(f"{name} {mebibytes}" for name, mebibytes in parts.items())
    raise SettingsError(
        f"has {machine.memory} MiB of memory and {swap} of swap, but needs {need} ({listed}): "
        "give it more, set airflow_swap, lower airflow_worker_concurrency or airflow_web_workers, "
        "or move a component to another host"
    )


def _left_to_the_worker(settings: Settings, machine: Machine) -> int:
    """What the others leave of the memory, and at least what it takes by itself."""
    parts = needs(settings)
    others = sum(mebibytes for name, mebibytes in parts.items() if name != "worker")
    left = machine.memory - others
    return max(left // _STEP * _STEP, parts.get("worker", 0))
