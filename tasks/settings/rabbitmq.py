"""RabbitMQ as the broker."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from . import certificates, urls
from .part import Part
from .server import Server
from .types import ExistingPath, HostName, Networks, NodeName, Port, Secret


class Rabbitmq(Part):
    """RabbitMQ as the broker."""

    rabbitmq_host: HostName | None = None
    """Address of the broker; default: the host of group `rabbitmq`, loopback on itself."""
    rabbitmq_port: Port = 5672
    """Port of the broker; with `rabbitmq_tls` the default is 5671."""
    rabbitmq_url: Secret | None = None
    """`amqp://USER:PASSWORD@HOST:PORT/VHOST` of an external broker, or `amqps://`."""
    rabbitmq_admin_url: Secret | None = None
    """`https://USER:PASSWORD@HOST:15671` of its management, to create what is missing there."""
    rabbitmq_tls: bool = False
    """Whether to use TLS and check the server's name; our own server is then set up for it."""
    rabbitmq_ca: ExistingPath | None = None
    """CA file that vouches for the broker; default: our own CA, or the host's system CAs."""
    rabbitmq_certificate: ExistingPath | None = None
    """Certificate of our own broker, with its chain; default: issued by our own CA."""
    rabbitmq_certificate_key: ExistingPath | None = None
    """Its key."""
    rabbitmq_bind_address: HostName | None = None
    """Address to listen on; default: loopback, or the host's address if other hosts need it."""
    rabbitmq_allow: Networks = ()
    """Addresses or networks that may use the broker in addition to the Airflow hosts."""
    rabbitmq_memory_limit: Annotated[int, Field(ge=128)] | None = None
    """MiB above which it blocks publishers; default: 2/5 of a dedicated host, else an 8th."""
    rabbitmq_vhost: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "airflow"
    """Virtual host of Airflow."""
    rabbitmq_user: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "airflow"
    """User of Airflow at the broker."""
    rabbitmq_password: Secret | None = None
    """Password of that user; generated."""
    rabbitmq_consumer_timeout: Annotated[int, Field(ge=60, le=31622400)] = 604800
    """Seconds that the longest task may run; RabbitMQ's own default requeues it after 1,800."""
    rabbitmq_node_name: NodeName = "rabbit@localhost"
    """Name of the Erlang node; `@localhost` keeps its ports on loopback. Its data is tied to it."""

    @property
    def rabbitmq(self) -> Server:
        """RabbitMQ as what it has in common with the other servers."""
        return Server(
            name="rabbitmq",
            host=self.rabbitmq_host,
            port=self.rabbitmq_port,
            password=self.secret("rabbitmq_password"),
            tls=self.rabbitmq_tls,
            ca=self.rabbitmq_ca,
            certificate=self.rabbitmq_certificate,
            certificate_key=self.rabbitmq_certificate_key,
            allow=self.rabbitmq_allow,
        )


def _unfit_certificate(rabbitmq: Rabbitmq) -> str | None:
    return certificates.refusal(
        "rabbitmq", rabbitmq.rabbitmq_certificate, rabbitmq.rabbitmq_certificate_key
    )


def _unfit_admin_url(rabbitmq: Rabbitmq) -> str | None:
    return urls.admin_refusal("rabbitmq", rabbitmq.secret("rabbitmq_admin_url"), ("https", "http"))


CHECKS = (_unfit_certificate, _unfit_admin_url)
