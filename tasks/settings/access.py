"""The administrator, and Airflow's keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .part import Part
from .types import FernetKey, Secret


class Access(Part):
    """The administrator, and Airflow's keys."""

    airflow_admin_user: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")] = "admin"
    """Login name of the web UI's administrator."""
    airflow_admin_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] = "admin@localhost"
    """E-mail address of the administrator."""
    airflow_admin_password: Secret | None = None
    """Password of the administrator; generated."""
    airflow_fernet_key: FernetKey | None = None
    """Key that Airflow encrypts connections with; generated once, never changed by a run."""
    airflow_secret_key: Secret | None = None
    """Key that signs the web UI's sessions and requests for logs; generated."""
    airflow_jwt_secret: Secret | None = None
    """Key that signs the tokens of the API, from Airflow 3 on; generated."""
