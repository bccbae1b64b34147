"""The reports of failures: what they say, and how many of them are sent."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import airflow_reports

TASK = SimpleNamespace(dag_id="sales", task_id="load", try_number=2, log_url="http://web/log")


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file to which a command writes the messages, of a host called w1."""
    box = tmp_path / "sent"
    for name in [name for name in os.environ if name.endswith("RESULT_BACKEND")]:
        monkeypatch.delenv(name)
    given = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_HOSTNAME": "w1",
        "AIRFLOW_REPORT_INTERVAL": "3600",
        "AIRFLOW_REPORT_COMMAND": f'{{ echo "# $AIRFLOW_REPORT_SUBJECT"; cat; echo; }} >> {box}',
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return box


def test_a_task_s_report_says_what_and_why(outbox: Path) -> None:
    context = {"ti": TASK, "run_id": "manual__1", "exception": ValueError("no rows\nat all")}
    airflow_reports.failed(context)
    assert outbox.read_text() == (
        "# Airflow: DAG sales: task load failed\n"
        "dag=sales task=load run=manual__1 try=2 host=w1 error=ValueError: no rows | at all\n\n"
        "http://web/log\n"
    )


def test_airflow_1_hands_over_no_exception(outbox: Path) -> None:
    try:
        raise KeyError("column")
    except KeyError:
        airflow_reports.failed({"task_instance": TASK})
    assert "error=KeyError: 'column'" in outbox.read_text()


def test_of_one_dag_there_is_one_message_which_the_next_one_counts_on(
    outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        airflow_reports.failed({"ti": TASK, "exception": "bad"})
    airflow_reports.failed({"ti": SimpleNamespace(**{**vars(TASK), "dag_id": "other"})})
    assert outbox.read_text().count("# Airflow") == 2
    monkeypatch.setenv("AIRFLOW_REPORT_INTERVAL", "0")
    airflow_reports.failed({"ti": TASK, "exception": "bad"})
    assert outbox.read_text().endswith("http://web/log\n\n2 more since the last message\n")


def test_a_report_never_breaks_the_task(outbox: Path) -> None:
    airflow_reports.failed({})
    assert not outbox.exists()


@pytest.mark.parametrize(
    ("error", "line"),
    [(None, "unknown"), ("", "unknown"), ("a\nb", "a | b"), (OSError("x"), "OSError: x")],
)
def test_an_error_is_one_line(error: object, line: str) -> None:
    assert airflow_reports.one_line(error) == line


def test_mail_goes_by_the_section_of_airflow_cfg_unless_the_environment_says_else(
    outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (outbox.parent / "airflow.cfg").write_text("[smtp]\nsmtp_host = mail\nsmtp_password = 5%%\n")
    assert airflow_reports.smtp("smtp_host", "localhost") == "mail"
    assert airflow_reports.smtp("smtp_password", "") == "5%"
    assert airflow_reports.smtp("smtp_port", "25") == "25"
    monkeypatch.setenv("AIRFLOW__SMTP__SMTP_HOST", "other")
    assert airflow_reports.smtp("smtp_host", "localhost") == "other"


def test_a_host_without_airflow_needs_the_one_file(outbox: Path) -> None:
    (outbox.parent / "airflow_reports.py").write_text(Path(airflow_reports.__file__).read_text())
    code = "import airflow_reports; airflow_reports.report('nginx', 'failed', 'why', ['details'])"
    subprocess.run([sys.executable, "-c", code], cwd=outbox.parent, check=True)
    assert outbox.read_text() == "# Airflow: nginx: failed\ndetails\n"
