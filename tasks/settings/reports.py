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
    """Recipients of mail about failed tasks and units; airflow_config's `smtp` names the server."""
    airflow_report_webhook: Secret | None = None
    """URL, such as Slack's, that gets the same as JSON: `{"text": ...}`."""
    airflow_report_command: Secret | None = None
    """Shell command that gets it on standard input, with the subject in AIRFLOW_REPORT_SUBJECT."""
    airflow_report_interval: Annotated[int, Field(ge=0, le=604800)] = 3600
    """Seconds between messages about one DAG or unit; the next says how many were suppressed."""


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
        return "airflow_report_webhook is not a URL: give one that begins with https://"
    return urls.refusal("airflow_report_webhook", url)


CHECKS = (
    _no_mail_server,
    _unfit_webhook,
)
