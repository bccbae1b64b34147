"""Redis as the broker."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from . import certificates
from .part import Part
from .server import Server
from .types import ExistingPath, HostName, Networks, Port, Secret


class Redis(Part):
    """Redis as the broker."""

    redis_host: HostName | None = None
    """Address of Redis as the broker; default: the host of group `redis`, loopback on itself."""
    redis_port: Port = 6379
    """Port of Redis."""
    redis_url: Secret | None = None
    """`redis://:PASSWORD@HOST:PORT/DATABASE` of an external Redis, or `rediss://`."""
    redis_password: Secret | None = None
    """Password of Redis; generated."""
    redis_database: Annotated[int, Field(ge=0, le=10000)] = 0
    """Number of the database in Redis."""
    redis_allow: Networks = ()
    """Addresses or networks that may use Redis in addition to the Airflow hosts."""
    redis_visibility_timeout: Annotated[int, Field(ge=60, le=31622400)] = 604800
    """Seconds that the longest task may run; Redis gives it to another worker afterwards."""
    redis_tls: bool = False
    """Whether to use TLS and check the server's name; our own server is then set up for it."""
    redis_ca: ExistingPath | None = None
    """CA file that vouches for Redis; default: our own CA, or the host's system CAs."""
    redis_certificate: ExistingPath | None = None
    """Certificate of our own Redis, with its chain; default: issued by our own CA."""
    redis_certificate_key: ExistingPath | None = None
    """Its key."""

    @property
    def redis(self) -> Server:
        """Redis as what it has in common with the other servers."""
        return Server(
            name="redis",
            host=self.redis_host,
            port=self.redis_port,
            password=self.secret("redis_password"),
            tls=self.redis_tls,
            ca=self.redis_ca,
            certificate=self.redis_certificate,
            certificate_key=self.redis_certificate_key,
            allow=self.redis_allow,
        )


def _unfit_certificate(redis: Redis) -> str | None:
    return certificates.refusal("redis", redis.redis_certificate, redis.redis_certificate_key)


CHECKS = (_unfit_certificate,)
