"""The connection pool in front of the database."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .part import Part
from .types import Port


class Pgbouncer(Part):
    """The connection pool in front of the database."""

    pgbouncer_port: Port = 6432
    """Port of PgBouncer, if there is a group `pgbouncer`."""
    pgbouncer_pool_size: Annotated[int, Field(ge=1, le=45)] = 20
    """Connections that it opens to each database; PostgreSQL accepts 100 in total."""
    pgbouncer_max_clients: Annotated[int, Field(ge=10, le=50_000)] = 500
    """Connections that it accepts from Airflow, at most 50,000."""
