"""Who is told of failures."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from . import urls
from .configuration import Configuration
from .types import Secret, Words


class Reports(Configuration):
    """Who is told of failures."""

    airflow_report_email: Words = ()
    """Who gets a mail when a task or a unit fails, by the server of airflow_config's `smtp`."""
    airflow_report_webhook: Secret | None = None
    """URL, such as Slack's, that gets the same as JSON: `{"text": ...}`."""
    airflow_report_command: Secret | None = None
    """Shell command that gets it on standard input, and its subject in AIRFLOW_REPORT_SUBJECT."""
    airflow_report_interval: Annotated[int, Field(ge=0, le=604800)] = 3600
    """Seconds between two messages of one DAG or unit; the next one counts those between."""


def _no_mail_server(reports: Reports) -> str | None:
    if reports.airflow_report_email and "smtp_host" not in reports.airflow_config.get("smtp", {}):
        return (
            "airflow_report_email needs a mail server: set airflow_config = "
            '{"smtp": {"smtp_host": ..., "smtp_mail_from": ...}}'
        )
    return None


def _unfit_webhook(reports: Reports) -> str | None:
    url = reports.secret("airflow_report_webhook")
    if url and not url.startswith(("https://", "http://")):
        return "airflow_report_webhook is no URL: give one that begins with https://"
    return urls.refusal("airflow_report_webhook", url)


CHECKS = (
    _no_mail_server,
    _unfit_webhook,
)
