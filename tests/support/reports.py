"""What is seen when failures are reported, whatever the release."""

from collections.abc import Callable

from tests.support.hosts import Host
from tests.support.receivers import Receivers
from tests.support.waiting import until

# What the DAG of Airflow 2 and 3 has Airflow mask; before there is no such thing.
VAULT = "known-to-the-vault-alone"
REASON = "RuntimeError: the reason that a person looks for"


def check_task_reports(received: Receivers, host: Host, fail: Callable[[], object]) -> None:
    """Fail thrice by `fail`, a task of the DAG `failing`, the last time an hour later."""

    def mails() -> list[str]:
        return received.of("DAG failing", f"host={host.address}")

    _an_hour_passes(host)
    before = len(mails())
    fail()
    until(lambda: len(mails()) > before, 60, "a mail about the failure")
    fail()
    assert len(mails()) == before + 1
    _an_hour_passes(host)
    fail()
    until(lambda: len(mails()) > before + 1, 60, "a mail about the third failure")
    first, last = mails()[before:]
    assert "Subject: Airflow: DAG failing: task fail failed" in first
    assert "To: ops@example.com, boss@example.com" in first
    assert f"error={REASON}" in first
    assert "more since" not in first
    assert "1 more since the last message" in last
    journal = host.ssh("journalctl -q -o cat -t airflow-report").stdout.splitlines()
    logged = [line for line in journal if line.startswith("dag=failing task=fail ")]
    assert len(logged) >= 3
    assert all(f"error={REASON}" in line for line in logged)
    assert VAULT not in f"{journal}{first}{last}"
    assert "run_command can't send: RuntimeError: it ended with code 1" in journal
    assert REASON in host.ssh("cat /var/lib/airflow/reported").stdout


def check_unit_reports(received: Receivers, host: Host, unit: str) -> None:
    """Kill a unit's process: one report, however often it dies."""

    def mails() -> list[str]:
        return received.of(f"Airflow: {unit}: failed on {host.address}")

    assert mails() == []
    for _ in range(3):
        until(lambda: _active(host, unit), 60, f"{unit} again")
        host.ssh(f"systemctl kill -s KILL {unit}")
    until(mails, 60, "a mail about the unit")
    until(lambda: _active(host, unit), 60, f"{unit} again")
    (mail,) = mails()
    assert f"unit={unit} host={host.address} error=the unit has failed" in mail


def check_server_reports(received: Receivers, host: Host, unit: str) -> None:
    """Kill a server: that is reported as well, and systemd starts it again."""
    (name,) = host.ssh(f"systemctl show -P Id '{unit}'").stdout.split()
    host.ssh(f"systemctl kill -s KILL {name}")
    subject = f"Airflow: {name.removesuffix('.service')}: failed on {host.address}"
    until(lambda: received.of(subject), 60, f"a mail about {name}")
    until(lambda: _active(host, name), 180, f"{name} again")


def _active(host: Host, unit: str) -> bool:
    return host.ssh(f"systemctl is-active {unit}", check=False).stdout == "active\n"


def _an_hour_passes(host: Host) -> None:
    query = "UPDATE airflow_reports SET sent = sent - 3600;"
    databases = "airflow_results airflow"
    host.ssh(
        f"cd / && for name in {databases}; do runuser -u postgres -- psql -Xq $name -c "
        f"'{query}' 2>/dev/null && exit; done; true"
    )
