"""RabbitMQ: the broker, Airflow's virtual host and user, and no guest."""

from __future__ import annotations

from pyinfra import host
from pyinfra.operations import files

from .deploys import deploy
from .operations import broker_user, broker_user_absent, node_name_kept, running, text_file
from .resources import template
from .settings import Settings
from .system import packages

CONFIGURATION = "/etc/rabbitmq"
EPMD = "/etc/systemd/system/epmd.socket.d"


@deploy("RabbitMQ")
def deploy_rabbitmq(settings: Settings | None = None) -> None:
    """Install RabbitMQ with a virtual host and a user for Airflow; works alone."""
    settings = Settings.of(host, settings)
    node_name_kept(name="Keep the node's name", wanted=settings.rabbitmq_node_name)
    texts = configuration(settings)
    _configure(texts)
    # The configuration comes first: the broker never listens with Debian's defaults.
    packages("Install the broker", ["rabbitmq-server"])
    running(
        name="Run the broker",
        unit="rabbitmq-server.service",
        started=f"/var/lib/rabbitmq/mnesia/{settings.rabbitmq_node_name}.pid",
        reads={path: text for path, text in texts.items() if path.startswith(CONFIGURATION)},
    )
    broker_user(
        name=f"Create the user {settings.rabbitmq_user} with its virtual host",
        user=settings.rabbitmq_user,
        password=settings.secret("rabbitmq_password"),
        vhost=settings.rabbitmq_vhost,
    )
    if settings.rabbitmq_user != "guest":
        broker_user_absent(name="Remove the user guest", user="guest")


def configuration(settings: Settings) -> dict[str, str]:
    """Give the broker's files: path -> text."""
    address = bind_address(settings)
    return {
        f"{CONFIGURATION}/rabbitmq.conf": template(
            "rabbitmq.conf", settings=settings, address=address
        ),
        f"{CONFIGURATION}/rabbitmq-env.conf": template("rabbitmq-env.conf", settings=settings),
        f"{EPMD}/loopback.conf": template("epmd.conf"),
    }


def _configure(texts: dict[str, str]) -> None:
    for path in host.loop([CONFIGURATION, EPMD]):
        files.directory(name=f"Create {path}", path=path, mode="755")
    for path in host.loop(texts):
        text_file(name=f"Write {path}", path=path, text=texts[path])


def bind_address(settings: Settings) -> str:
    """Give the address that the broker listens on."""
    if settings.rabbitmq_bind_address is not None:
        return settings.rabbitmq_bind_address
    others = settings.topology.hosts or settings.rabbitmq_allow
    return settings.topology.address if others else "127.0.0.1"
