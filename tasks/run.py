"""The pyinfra run: its state, hosts and connections. No other module touches pyinfra's internals.

Other modules use only what pyinfra documents: operations, facts, commands, and ``host``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from pyinfra import host, state
from pyinfra.api import Host, Inventory
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.exceptions import ConnectError
from pyinfra.context import ctx_host, ctx_state
from pyinfra.operations.util.files import generate_color_diff

_GUARDED = "airflow_guarded"
"""Set on the state once a handler of failures is installed."""


def executing() -> bool:
    """Tell whether steps are being executed, not planned."""
    return state.is_executing


def diffing() -> bool:
    """Tell whether diffs are shown."""
    return bool(state.config.DIFF)


def any_failed() -> bool:
    """Tell whether a host has failed."""
    return bool(state.failed_hosts)


def this_host() -> Host:
    """Return the current host itself, not the proxy ``host``."""
    own: Host = ctx_host.get()
    return own


def as_host(each: Host) -> AbstractContextManager[Any]:
    """Make another host the current one."""
    with_host: AbstractContextManager[Any] = ctx_host.use(each)
    return with_host


def every_host() -> list[Host]:
    """Return all hosts of the inventory."""
    return list(state.inventory)


def active_hosts() -> list[Host]:
    """Return the connected hosts that have not failed."""
    return list(state.inventory.get_active_hosts())


def in_limit(each: Host) -> bool:
    """Tell whether ``--limit`` includes a host."""
    return bool(state.is_host_in_limit(each))


def memory(each: Host | None = None) -> dict[str, Any]:
    """Return the values kept for a host, by default the current one, until the run ends."""
    kept: dict[str, Any] = (host if each is None else each).connector_data
    return kept


def becoming(each: Host | None = None) -> dict[str, Any]:
    """Return those of them that say how to become root, for the current step or for a host."""
    given = arguments() if each is None else _arguments_of(each)
    return {key: given[key] for key in CONNECTOR_ARGUMENT_KEYS if key in given}


def _arguments_of(each: Host) -> dict[str, Any]:
    with as_host(each):
        return {**pop_global_arguments(state, each, {})[0]}


def color_diff(before: list[str], after: list[str]) -> Iterable[str]:
    """Return a diff with the colors of pyinfra."""
    lines: Iterable[str] = generate_color_diff(before, after)
    return lines


def before_connecting(check: Callable[[Inventory], None]) -> None:
    """Call ``check`` with the inventory before pyinfra connects to any host.

    pyinfra has no hook at that point, so this wraps the step that is there.
    """
    own = ctx_state.get()
    initialise = own.init

    def init(inventory: Inventory, *args: Any, **kwargs: Any) -> None:
        initialise(inventory, *args, **kwargs)
        check(inventory)

    own.init = init


def when_hosts_fail(act: Callable[[], set[Host]]) -> None:
    """Call ``act`` when hosts have failed; the hosts that it returns fail too.

    Only the first call counts. pyinfra calls ``fail_hosts`` when every host has finished a step,
    then continues with the others.
    """
    if getattr(state, _GUARDED, False):
        return
    setattr(state, _GUARDED, True)
    fail = state.fail_hosts

    def fail_hosts(hosts: set[Host], *arguments: Any, **named: Any) -> None:
        more = act() if hosts else set()
        fail(set(hosts) | more, *arguments, **named)

    state.fail_hosts = fail_hosts  # type: ignore[method-assign, assignment]


_OPENS_WITHIN = 10
"""Seconds in which a host has to reach what it is asked to."""


def paramiko_client() -> Any:
    """Return paramiko's client; other connectors than SSH have none."""
    return getattr(host.connector, "client", None)


def connects_anew() -> bool:
    """Return whether a new connection of this kind can be made; those without SSH need none."""
    if not paramiko_client():
        return True
    another: Any = type(host.connector)(host.connector.state, host.connector.host)
    try:
        another.connect()
    except ConnectError:
        return False
    another.client.close()
    return True


def channel_to(address: str, port: int) -> Any:
    """Open a channel from this machine to what the host reaches at ``address`` and ``port``.

    None with a connector that is this machine itself. OSError where the host has no such way.
    """
    client = paramiko_client()
    if client:
        origin = ("127.0.0.1", 0)
        return client.get_transport().open_channel(
            "direct-tcpip", (address, port), origin, timeout=_OPENS_WITHIN
        )
    if host.connector_cls.__name__ == "LocalConnector":
        return None
    raise OSError("this connector can't forward connections through the host")


def changes() -> int:
    """Count the steps that have changed this host in this run."""
    steps = (step.operation_meta for step in state.ops[host].values())
    return sum(step.executed for step in steps)


def arguments() -> dict[str, Any]:
    """Return pyinfra's own arguments of the present step."""
    return dict(host.current_op_global_arguments or {})
