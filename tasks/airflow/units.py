"""Names of the systemd units of Airflow's components. Pure."""

from __future__ import annotations

from ..catalog.model import Component
from ..catalog.releases import HEALTH, RELEASES


def unit_name(component: Component) -> str:
    """Return the name of a component's unit."""
    return f"airflow-{component.name}.service"


def unit_path(component: Component) -> str:
    """Return the file of a component's unit."""
    return f"/etc/systemd/system/{unit_name(component)}"


def every_unit() -> set[str]:
    """Return the units of all releases' components."""
    every = {component for release in RELEASES for component in release.components}
    return {unit_name(component) for component in (*every, HEALTH)}


def stamp(component: Component) -> str:
    """Return the file that the start of a component's unit writes."""
    return f"/run/airflow-{component.name}/started"
