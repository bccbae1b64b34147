"""The host's address, and the web UI on it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .part import Part
from .types import HostName, Port, WebUrl


class Web(Part):
    """The host's address, and the web UI on it."""

    airflow_address: HostName | None = None
    """Address that the other hosts reach this one at; default: `ssh_hostname` or its name."""
    airflow_web_host: HostName = "0.0.0.0"
    """Address that the web UI listens on; default behind a proxy: only what the inventory needs."""
    airflow_web_port: Port = 8080
    """Port of the web UI."""
    airflow_api_url: WebUrl | None = None
    """URL of the web UI for the workers, from Airflow 3 on; default: the first web host's."""
    airflow_web_workers: Annotated[int, Field(ge=1, le=64)] | None = None
    """Processes that answer the web UI's requests; default: 2, or 1 if memory is short."""
    airflow_base_url: WebUrl | None = None
    """URL of the web UI in links; default: the first proxy's, else the first web host's."""
