"""Where things are on a host."""

from __future__ import annotations

ENVIRONMENT = "/opt/airflow"
"""Where environments, helpers and the ``current`` link live on a host."""
CONFIGURATION = "/etc/airflow"
"""Where the environment and secrets files live on a host."""
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
"""The host's system CAs."""
FORMER = f"{CONFIGURATION}/secrets.env.former"
"""The secrets that a host had before, until it is verified."""
LOGS = "/var/log/airflow"
BACKUPS = "/var/backups/airflow"

REPORT = "airflow-report.conf"
"""Our drop-in for units of others."""

FIREWALL_RULES = "/etc/airflow-firewall.nft"
PROXY_SITE = "/etc/nginx/conf.d/airflow.conf"
