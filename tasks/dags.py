"""DAGs: a folder of the controller, delivered to the hosts."""

from __future__ import annotations

from pyinfra import host

from .deploys import deploy
from .operations import delivered_folder
from .settings import Settings


@deploy("DAGs")
def deploy_dags(settings: Settings | None = None) -> None:
    """Deliver the folder ``airflow_dags``, where it is set, to every host that reads DAGs."""
    settings = Settings.of(host, settings)
    if settings.airflow_dags is not None:
        delivered_folder(
            name=f"Deliver {settings.airflow_dags}",
            source=settings.airflow_dags,
            path=f"{settings.airflow_home}/dags",
            user="root",
            group="airflow",
        )
