"""The command that runs a helper script on a host."""

from __future__ import annotations

from ..settings import ENVIRONMENT

AS_AIRFLOW = f"{ENVIRONMENT}/bin/as-airflow"


def helper(script: str) -> str:
    """Return the command to run a file of ``files/host`` with Airflow's Python and environment."""
    return f"{AS_AIRFLOW} python {ENVIRONMENT}/lib/{script}"
