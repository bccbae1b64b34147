"""The metadata database."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field

from . import certificates, urls
from .part import Part
from .server import Database, Server
from .types import ExistingPath, HostName, Listen, Name, Networks, Port, Secret, SslMode


class Postgresql(Part):
    """The metadata database."""

    postgresql_host: HostName | None = None
    """Address of the database; default: the host of group `postgresql`, loopback on itself."""
    postgresql_port: Port = 5432
    """Port of the database."""
    postgresql_url: Secret | None = None
    """`postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...` of an external server."""
    postgresql_admin_url: Secret | None = None
    """The same with a login that may create the missing roles and databases there."""
    postgresql_sslmode: SslMode | None = None
    """libpq's sslmode; default: `verify-full` with `postgresql_tls`, else `prefer`."""
    postgresql_tls: bool = False
    """Whether to use TLS and check the server's name; our own server is then set up for it."""
    postgresql_ca: ExistingPath | None = None
    """CA file that vouches for the server; default: our own CA, or the host's system CAs."""
    postgresql_certificate: ExistingPath | None = None
    """Certificate of our own server, with its chain; default: issued by our own CA."""
    postgresql_certificate_key: ExistingPath | None = None
    """Its key."""
    postgresql_listen_addresses: Listen | None = None
    """Addresses to listen on; default: loopback, and the host's address if other hosts need it."""
    postgresql_shared_buffers: Annotated[int, Field(ge=16)] | None = None
    """MiB of shared buffers; default: a quarter of a dedicated host's memory, else a 16th."""
    postgresql_database: Name = "airflow"
    """Database of Airflow."""
    postgresql_user: Name = "airflow"
    """Role that owns the database."""
    postgresql_password: Secret | None = None
    """Password of the role; generated."""
    postgresql_results_database: Name = "airflow_results"
    """Database of the tasks' results, if the release keeps them separate (Airflow 3)."""
    postgresql_results_user: Name = "airflow_results"
    """Role that owns that database."""
    postgresql_results_password: Secret | None = None
    """Password of that role; generated."""
    postgresql_allow: Networks = ()
    """Addresses or networks that may use the database in addition to the Airflow hosts."""
    postgresql_auth: Literal["scram-sha-256", "trust"] = "scram-sha-256"
    """How pg_hba.conf authenticates those addresses; `trust` needs `postgresql_allow_insecure`."""
    postgresql_superuser: bool = False
    """Whether the role is a superuser; needs `postgresql_allow_insecure`."""
    postgresql_allow_insecure: bool = False
    """Consent to `trust`, a superuser role, `*` and networks that contain the whole internet."""

    @property
    def sslmode(self) -> str | None:
        """libpq's word for how connections to the database are secured, if it is not its own."""
        return self.postgresql_sslmode or ("verify-full" if self.postgresql_tls else None)

    @property
    def postgresql(self) -> Server:
        """PostgreSQL as what it has in common with the other servers."""
        return Server(
            name="postgresql",
            host=self.postgresql_host,
            port=self.postgresql_port,
            password=self.secret("postgresql_password"),
            tls=self.postgresql_tls,
            ca=self.postgresql_ca,
            certificate=self.postgresql_certificate,
            certificate_key=self.postgresql_certificate_key,
            allow=self.postgresql_allow,
        )

    @property
    def metadata_database(self) -> Database:
        """Airflow's own database."""
        password = self.secret("postgresql_password")
        return Database(self.postgresql_database, self.postgresql_user, password)

    @property
    def results_database(self) -> Database:
        """That of the tasks' results: Airflow's own where the release does not keep them apart."""
        if not self.release.results_apart:
            return self.metadata_database
        password = self.secret("postgresql_results_password")
        return Database(self.postgresql_results_database, self.postgresql_results_user, password)

    @property
    def databases(self) -> tuple[Database, ...]:
        """Both of them, or the one that they are."""
        return tuple(dict.fromkeys((self.metadata_database, self.results_database)))


def _without_consent(postgresql: Postgresql) -> str | None:
    if postgresql.postgresql_allow_insecure:
        return None
    opened = {
        "postgresql_auth = 'trust'": postgresql.postgresql_auth == "trust",
        "postgresql_superuser = True": postgresql.postgresql_superuser,
        "postgresql_listen_addresses = '*'": "*" in (postgresql.postgresql_listen_addresses or ""),
        "postgresql_allow with the whole internet": any(
            ipaddress.ip_network(network, strict=False).prefixlen == 0
            for network in postgresql.postgresql_allow
        ),
    }
    for what, wanted in opened.items():
        if wanted:
            return (
                f"{what} makes the database insecure: set postgresql_allow_insecure = True if"
                " you accept that"
            )
    return None


def _unfit_certificate(postgresql: Postgresql) -> str | None:
    return certificates.refusal(
        "postgresql", postgresql.postgresql_certificate, postgresql.postgresql_certificate_key
    )


def _unfit_admin_url(postgresql: Postgresql) -> str | None:
    return urls.admin_refusal(
        "postgresql", postgresql.secret("postgresql_admin_url"), ("postgresql", "postgres")
    )


CHECKS = (_unfit_certificate, _unfit_admin_url, _without_consent)
