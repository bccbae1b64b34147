"""The units of Airflow's components."""

from __future__ import annotations

from ..catalog import releases
from ..catalog.model import Component
from .part import Part
from .types import HostName, Port


class Services(Part):
    """The units of Airflow's components."""

    airflow_flower_host: HostName = "127.0.0.1"
    """Address that Flower listens on; it asks for the administrator's login."""
    airflow_flower_port: Port = 5555
    """Port of Flower."""
    airflow_health_port: Port | None = None
    """Port, at the web UI's address, for load balancers' health checks; default: none."""
    airflow_hardening: bool = True
    """Whether the units are sandboxed; turn it off for tasks that need sudo or /home."""

    @property
    def airflow_components(self) -> tuple[Component, ...]:
        """The processes of Airflow that run on this host."""
        here = tuple(c for c in self.release.components if c.name in self.topology.components)
        return (*here, releases.HEALTH) if here and self.airflow_health_port else here

    @property
    def reads_dags(self) -> bool:
        """Whether a component of this host needs the DAG files."""
        return any(component.reads_dags for component in self.airflow_components)

    @property
    def withheld(self) -> frozenset[str]:
        """Meanings of the secrets that no component of this host may have."""
        every = [component.withheld for component in self.airflow_components]
        return frozenset.intersection(*every) if every else frozenset()
