"""Metrics for Prometheus."""

from __future__ import annotations

import ipaddress

from .part import Part
from .types import Networks, Port


class Monitoring(Part):
    """Metrics for Prometheus."""

    monitoring_allow: Networks = ()
    """Addresses or networks of Prometheus servers; default: metrics stay on loopback."""
    monitoring_statsd_port: Port = 8125
    """UDP port to which Airflow sends its metrics."""
    monitoring_airflow_port: Port = 9103
    """Port of Airflow's metrics."""
    monitoring_postgresql_port: Port = 9187
    """Port of PostgreSQL's metrics."""
    monitoring_rabbitmq_port: Port = 15692
    """Port of RabbitMQ's metrics."""


def _open_to_all(monitoring: Monitoring) -> str | None:
    if any(
        ipaddress.ip_network(n, strict=False).prefixlen == 0 for n in monitoring.monitoring_allow
    ):
        return "monitoring_allow with the whole internet: name the Prometheus servers instead"
    return None


CHECKS = (_open_to_all,)
