"""Workers, their queues, and the memory of their hosts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .part import Part
from .types import Port, Queue, Queues


def own_queue(worker: str) -> str:
    """Return the queue from which only one worker takes tasks."""
    return f"verify.{worker}"


class Workers(Part):
    """Workers, their queues, and the memory of their hosts."""

    airflow_worker_concurrency: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Tasks that a worker runs at a time (`-c`); default: what memory and cores allow, up to 16."""
    airflow_worker_memory: Annotated[int, Field(ge=64)] | None = None
    """MiB that a worker may take with its tasks; default: what the host's other services leave."""
    airflow_swap: Annotated[int, Field(ge=0, le=65536)] | None = None
    """MiB of the swap file; default: what the components need beyond the memory."""
    airflow_default_queue: Queue = "default"
    """Queue of tasks that name none; the same on every host."""
    airflow_worker_queues: Queues = ("default",)
    """Queues that the worker takes tasks from (`-q`)."""
    airflow_worker_log_port: Port = 8793
    """Port from which a worker serves its tasks' logs to the web UI."""
    airflow_triggerer_log_port: Port = 8794
    """Port from which the triggerer serves its logs to the web UI."""
    airflow_worker_stop_timeout: Annotated[int, Field(ge=1, le=604800)] = 600
    """Seconds that a stopping worker may take to finish its running tasks."""
    airflow_drain_timeout: Annotated[int, Field(ge=0, le=604800)] = 3600
    """Seconds that `deploy_drain` waits for running tasks before it names those that remain."""

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of this host's worker: its own one is for a task that proves it works."""
        return (*self.airflow_worker_queues, own_queue(self.topology.name))
