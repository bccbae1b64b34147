"""RabbitMQ: the broker, Airflow's virtual host and user, and no guest."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pyinfra import host, logger
from pyinfra.api import FactBase, Host, QuoteString, StringCommand, operation
from pyinfra.api.operation import OperationMeta

from ..before.guard import guard_alone
from ..catalog import servers
from ..catalog.servers import RABBITMQ
from ..deploys import deploy
from ..host.files import File, Folder, edited, place
from ..host.found import Paths
from ..host.look import Look, foresee, look
from ..host.machine import of_this_host
from ..host.packages import AptPackages, debs_here, packages
from ..host.rows import Row, row
from ..host.steps import Commands, can_not_be_asked, stays, told, verb
from ..host.system import UserAccount, account
from ..host.units import NO_UNIT, Units, Watched, running
from ..resources import template
from ..run import every_host, executing, in_limit
from ..settings import Settings, exporters, own_queue
from ..settings.endpoints import listeners
from .passwords import rabbitmq_hash, rabbitmq_matches
from .tls import certificate_files

CONFIGURATION = "/etc/rabbitmq"
_HOME, _SHELL = "/var/lib/rabbitmq", "/usr/sbin/nologin"
"""Of the user that Debian's package makes."""
EPMD = "/etc/systemd/system/epmd.socket.d"
_FOLDERS = (CONFIGURATION, EPMD)
_PLUGIN = "rabbitmq_prometheus"


@deploy("RabbitMQ")
def deploy_rabbitmq(settings: Settings | None = None) -> list[OperationMeta]:
    """Install RabbitMQ with a virtual host and a user for Airflow; works alone.

    Return the steps that start it.
    """
    settings = of_this_host(settings)
    guard_alone(settings, RABBITMQ.group)
    files = configuration(settings)
    texts = {path: file.text for path, file in files.items()}
    if settings.rabbitmq_tls:
        # The key is there before the package, which would make the user.
        account(name="Create the user rabbitmq", user="rabbitmq", home=_HOME, shell=_SHELL)
    # Debian's package gives its folder to the broker's user.
    place(dict.fromkeys(_FOLDERS, Folder(user=None, group=None)))
    plugged = metrics_plugin(name="Set up RabbitMQ's metrics plugin", wanted=metered(settings))
    place(files)
    # The configuration comes first: the broker never listens with Debian's defaults.
    installed = packages(
        name="Install the broker", packages=RABBITMQ.packages, debs=debs_here(settings)
    )
    ran = running(
        name="Run the broker",
        watched=_watched(settings),
        texts=texts,
        changed=[plugged],
        installed=installed,
    )
    known = foresee(RabbitmqDefinitions)
    users = None if known is None else [each["name"] for each in known.get("users", ())]
    broker_user(
        name=f"{verb(users, settings.rabbitmq_user)} the user {settings.rabbitmq_user}"
        " with its virtual host",
        user=settings.rabbitmq_user,
        password=settings.secret("rabbitmq_password"),
        vhost=settings.rabbitmq_vhost,
    )
    if settings.rabbitmq_user != "guest":
        broker_user_absent(name="Remove the user guest", user="guest")
    return [installed, ran]


def looks(settings: Settings) -> Iterator[Look]:
    """Return what the steps of `deploy_rabbitmq` ask."""
    if settings.rabbitmq_tls:
        yield Look.of(UserAccount, user="rabbitmq")
    yield Look.of(Paths, paths=(*_FOLDERS, *configuration(settings)))
    yield Look.of(RabbitmqFiles)
    yield Look.of(AptPackages, packages=RABBITMQ.packages)
    yield Look.of(Units, watched=(_watched(settings),))
    yield Look.of(RabbitmqDefinitions)


def _watched(settings: Settings) -> Watched:
    started = f"/var/lib/rabbitmq/mnesia/{settings.rabbitmq_node_name}.pid"
    read = (path for path in configuration(settings) if path.startswith(CONFIGURATION))
    return Watched(RABBITMQ.unit, started, tuple(read))


@deploy("RabbitMQ")
def deploy_fewer_queues(settings: Settings) -> None:
    """Remove the verification queues of workers that no longer exist, once they are idle."""
    idle_queues_absent(
        name="Remove the queues of workers that no longer exist",
        vhost=settings.rabbitmq_vhost,
        wanted=queues(settings),
    )


def queues(settings: Settings) -> tuple[str, ...]:
    """Return the queues that the inventory's workers take tasks from."""
    return (*settings.topology.queues, *map(own_queue, settings.topology.workers))


def configuration(settings: Settings) -> dict[str, File]:
    """Return the broker's files."""
    certificate = certificate_files(settings, "rabbitmq", CONFIGURATION, "rabbitmq")
    main = template(
        "rabbitmq.conf",
        settings=settings,
        addresses=listeners(settings, RABBITMQ),
        files=tuple(certificate),
        metrics=exporters.address(settings) if metered(settings) else None,
    )
    return {
        **certificate,
        f"{CONFIGURATION}/rabbitmq.conf": File(main),
        f"{CONFIGURATION}/rabbitmq-env.conf": File(
            template("rabbitmq-env.conf", settings=settings)
        ),
        f"{EPMD}/loopback.conf": File(template("epmd.conf")),
    }


def metered(settings: Settings) -> bool:
    """Return whether the broker has metrics for Prometheus."""
    return servers.RABBITMQ_EXPORTER in exporters.here(settings)


@operation()
def metrics_plugin(*, wanted: bool) -> Commands:
    """Enable the plugin for Prometheus, or disable one that we have enabled; others stay.

    Before the configuration is written, which tells whose it is.
    """
    have = look(RabbitmqFiles)
    enabled = _PLUGIN in have.plugins
    if enabled == wanted or (enabled and not have.metrics):
        host.noop("RabbitMQ's plugins are as they should be")
        return
    plugins = [name for name in have.plugins if name != _PLUGIN] + [_PLUGIN] * wanted
    path = f"{CONFIGURATION}/enabled_plugins"
    # Once it was enabled by us, the file has been kept.
    ours = have.metrics or not have.plugins
    yield from edited(path, [f"[{','.join(plugins)}]."], ours=ours)


@operation()
def metrics_absent() -> Commands:
    """Disable the plugin that we have enabled, while the broker runs."""
    have = look(RabbitmqFiles)
    if _PLUGIN not in have.plugins or not have.metrics:
        host.noop("this package has enabled no plugin here")
        return
    yield f"rabbitmq-plugins -q disable {_PLUGIN} </dev/null"


@operation()
def broker_user(user: str, password: str, vhost: str) -> Commands:
    """Grant a user its virtual host and all permissions there, and no tags.

    By a file of definitions: rabbitmqctl 4 waits for ever for a password on standard input.
    """
    have = look(RabbitmqDefinitions)
    if can_not_be_asked(have):
        host.noop("RabbitMQ does not answer")
        return
    have = have or {}
    found = next((known for known in have.get("users", ()) if known["name"] == user), None)
    permission = {"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
    vhosts = [known["name"] for known in have.get("vhosts", ())]
    changes = user_changed(found, password) if found else []
    changes += [] if vhost in vhosts else [f"gains the virtual host {vhost}"]
    changes += [] if permission in have.get("permissions", ()) else ["gains all permissions there"]
    if found and not changes:
        host.noop(f"broker user {user} is as it should be")
        return
    if found:
        told(f"broker user {user}", changes)
    yield _import_definitions(
        {
            "vhosts": [] if vhost in vhosts else [{"name": vhost}],
            "users": [
                {
                    "name": user,
                    "password_hash": rabbitmq_hash(password),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": "",
                }
            ],
            "permissions": [permission],
        }
    )


def user_changed(found: Mapping[str, Any], password: str) -> list[str]:
    """Return what becomes different for a user of the broker."""
    tags = found["tags"] if isinstance(found["tags"], str) else ", ".join(found["tags"])
    same = rabbitmq_matches(found["password_hash"], password)
    return [*([] if same else ["password"]), *([f"loses the tags {tags}"] if tags else [])]


def _import_definitions(definitions: Mapping[str, Any]) -> StringCommand:
    file = "/run/airflow-definitions.json"
    return StringCommand(
        f"umask 077 && cat > {file} && chown rabbitmq {file}",
        f"&& rabbitmqctl -q import_definitions {file} </dev/null; done=$?; rm -f {file}",
        "; test $done -eq 0",
        _stdin=json.dumps(definitions),
    )


@operation()
def broker_user_absent(user: str) -> Commands:
    """Remove a broker user, such as the guest that everybody knows the password of."""
    have = look(RabbitmqDefinitions)
    if can_not_be_asked(have):
        host.noop("RabbitMQ does not answer")
        return
    # A broker without definitions is about to be installed, with its guest.
    if have and user not in [known["name"] for known in have.get("users", ())]:
        host.noop(f"there is no broker user {user}")
        return
    yield StringCommand("rabbitmqctl -q delete_user", QuoteString(user), "</dev/null")


@operation()
def idle_queues_absent(vhost: str, wanted: Collection[str]) -> Commands:
    """Remove workers' own queues that are not ``wanted``, unless one is still in use.

    A worker that this run stops is still there while the run is planned.
    """
    definitions = look(RabbitmqDefinitions) or {}
    names = (each["name"] for each in definitions.get("queues", ()) if each["vhost"] == vhost)
    others = [name for name in names if name.startswith(own_queue("")) and name not in wanted]
    found = look(RabbitmqQueues, vhost=vhost) if others else None
    have = found or {}
    leaving = [] if executing() else [own_queue(each.name) for each in _reached()]
    idle = [
        name
        for name in others
        if name in have and not have[name].messages
        and (name in leaving or not have[name].consumers)
    ]  # fmt: skip
    if not idle:
        host.noop("there is no queue to remove")
    for name in idle:
        yield StringCommand(
            "rabbitmqctl -q delete_queue --if-empty --if-unused -p", QuoteString(vhost),
            QuoteString(name), "</dev/null",
        )  # fmt: skip


def _reached() -> list[Host]:
    """Return the hosts of this run."""
    return [each for each in every_host() if in_limit(each)]


def checks(settings: Settings) -> Iterator[Row]:
    """Look at its users, and whether each queue has a worker."""
    definitions = look(RabbitmqDefinitions)
    have = look(RabbitmqQueues, vhost=settings.rabbitmq_vhost)
    if not definitions or have is None:
        yield row("broker", False, "RabbitMQ does not answer")
        return
    users = [user["name"] for user in definitions["users"]]
    guest = "guest" in users and settings.rabbitmq_user != "guest"
    yield row("broker users", not guest, ", ".join(users))
    idle = [each for each in queues(settings) if each not in have or not have[each].consumers]
    yield row("queues", not idle, f"no consumer: {', '.join(idle)}" if idle else "all consumed")


@operation()
def absent(settings: Settings) -> Commands:
    """Stop the broker, which keeps its data, unless it has virtual hosts of others."""
    have = look(Units, watched=(Watched(RABBITMQ.unit, "/", ()),)).get(RABBITMQ.unit, NO_UNIT)
    if not (have.active or have.enabled):
        host.noop("RabbitMQ is not running")
        return
    known = (look(RabbitmqDefinitions) or {}).get("vhosts", ())
    others = [each["name"] for each in known if each["name"] not in ("/", settings.rabbitmq_vhost)]
    if others:
        host.log(f"RabbitMQ stays: it also has other virtual hosts ({', '.join(others)})")
    if others or stays("RabbitMQ", settings.rabbitmq_port):
        host.noop("RabbitMQ is still in use")
        return
    host.log(f"{_HOME} keeps what RabbitMQ has stored", logger.info)
    yield f"systemctl disable -q --now {RABBITMQ.unit}"


class RabbitmqDefinitions(FactBase[dict[str, Any] | None]):
    """Users, virtual hosts and permissions of the broker; None when that does not answer.

    Without RabbitMQ there are none. One that is just starting has a minute for that.
    """

    default = dict

    def command(self) -> str:
        return (
            "if command -v rabbitmqctl >/dev/null; then"
            " for second in $(seq 60); do"
            ' test "$(systemctl is-active rabbitmq-server)" = activating || break; sleep 1; done;'
            " rabbitmqctl -q export_definitions -"
            " --format json 2>/dev/null </dev/null || echo null; else echo '{}'; fi"
        )

    def process(self, output: list[str]) -> dict[str, Any] | None:
        definitions: dict[str, Any] | None = json.loads("\n".join(output))
        return definitions


class Queue(NamedTuple):
    """What a queue of the broker holds, and how many take from it."""

    messages: int
    consumers: int


class RabbitmqQueues(FactBase[dict[str, Queue] | None]):
    """Queues of ``vhost`` by their names; None when the broker does not answer."""

    @staticmethod
    def default() -> dict[str, Queue] | None:
        return None

    def command(self, vhost: str) -> StringCommand:
        return StringCommand(
            "rabbitmqctl -q list_queues -p", QuoteString(vhost),
            "name messages consumers --formatter json 2>/dev/null </dev/null || echo null",
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, Queue] | None:
        queues = json.loads("\n".join(output))
        if queues is None:
            return None
        return {each["name"]: Queue(each["messages"], each["consumers"]) for each in queues}


@dataclass(frozen=True)
class BrokerFiles:
    """What RabbitMQ finds when it starts."""

    plugins: tuple[str, ...] = ()
    """Plugins that are enabled."""
    metrics: bool = False
    """Whether its configuration, which is ours, has an address for metrics."""


class RabbitmqFiles(FactBase[BrokerFiles]):
    """What RabbitMQ finds when it starts, or would find."""

    default = BrokerFiles

    def command(self) -> str:
        return (
            "cd /etc/rabbitmq 2>/dev/null && { cat enabled_plugins;"
            " grep -m 1 '^prometheus.tcp' rabbitmq.conf; } 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> BrokerFiles:
        lists = [line for line in output if not line.startswith(("%", "prometheus"))]
        return BrokerFiles(
            plugins=tuple(re.findall(r"\w+", "".join(lists))),
            metrics=any(line.startswith("prometheus") for line in output),
        )


@operation()
def vhost_absent(vhost: str) -> Commands:
    """Delete a virtual host of the broker with its queues."""
    have = look(RabbitmqDefinitions) or {}
    if vhost not in [known["name"] for known in have.get("vhosts", ())]:
        host.noop(f"there is no virtual host {vhost}")
        return
    yield StringCommand("rabbitmqctl -q delete_vhost", QuoteString(vhost), "</dev/null")
