"""What every part of the settings refers to."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

from ..catalog import releases
from ..catalog.model import Release
from .topology import Topology


def _known(version: str) -> str:
    releases.find(version)
    return version


class Part(BaseModel):
    """What every part of the settings refers to: the release, and the other hosts."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    airflow_version: Annotated[str, AfterValidator(_known)] = releases.DEFAULT
    """Release of Airflow to install."""
    topology: Topology = Topology()
    """What follows from the inventory. Not set by hand."""

    @property
    def release(self) -> Release:
        """The release table's row."""
        return releases.find(self.airflow_version)

    def secret(self, name: str) -> str:
        """Return a secret in plain text; one that is not set is empty."""
        value = self.hidden(name)
        return value.get_secret_value() if value else ""

    def hidden(self, name: str) -> SecretStr | None:
        """Return a secret; by its name, as secrets are generated and kept by their names."""
        value: SecretStr | None = getattr(self, name)
        return value
