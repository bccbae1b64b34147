"""What all releases of Airflow have in common."""

from __future__ import annotations

from .model import Component

WEBSERVER = Component(
    "webserver",
    ("webserver", "api_server"),
    "airflow webserver",
    "web server",
    probe=("web",),
    memory=170,
    memory_each=135,
)
SCHEDULER = Component(
    "scheduler",
    ("scheduler",),
    "airflow scheduler",
    "scheduler",
    probe=("heartbeat", "SchedulerJob"),
    memory=240,
    required=True,
)


def metrics_keys(section: str) -> dict[str, tuple[str, str]]:
    """Return the keys of StatsD in a section of airflow.cfg."""
    return {name: (section, name) for name in ("statsd_on", "statsd_host", "statsd_port")}


PROXY_FIX = {"webserver": {"enable_proxy_fix": "True"}}
