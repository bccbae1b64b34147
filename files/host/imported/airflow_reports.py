"""Tell people of failures: of tasks, by the callback `failed`, and of units, called as

    airflow_reports.py UNIT

Every failure is a line in the journal. Where the environment says so it is sent too: at most one
message for a DAG or a unit within AIRFLOW_REPORT_INTERVAL seconds, which counts what there was
since the one before. It needs neither Airflow nor its Python, since either may be what has failed.
"""

from __future__ import print_function

import contextlib
import email.mime.text
import fcntl
import importlib
import json
import os
import smtplib
import subprocess
import sys
import syslog
import time
import traceback

try:
    import configparser
    from urllib.request import Request, urlopen
except ImportError:  # Python 2
    import ConfigParser as configparser
    from urllib2 import Request, urlopen

PATIENCE = 30
"""Seconds for each way to send."""
TABLE = """
CREATE TABLE IF NOT EXISTS airflow_reports (
    subject text PRIMARY KEY, sent double precision NOT NULL, held integer NOT NULL)
"""


def failed(context):
    """The callback of a task that has failed for good."""
    try:
        instance = context.get("task_instance") or context["ti"]
        # Airflow 1.8 calls this while it handles the exception, but does not hand it over.
        error = context.get("exception") or sys.exc_info()[1]
        run = context.get("run_id") or getattr(instance, "run_id", "")
        where = "dag={} task={} run={} try={}".format(
            instance.dag_id, instance.task_id, run, instance.try_number
        )
        line = "{} host={} error={}".format(where, here(), redacted(one_line(error)))
        details = [line, getattr(instance, "log_url", "")]
        report("DAG " + instance.dag_id, "task {} failed".format(instance.task_id), line, details)
    except Exception:
        say("a failure can't be reported: " + one_line(traceback.format_exc()))


def unit_failed(name):
    """Report a unit that has failed, with the end of what it said."""
    said = subprocess.Popen(
        ["journalctl", "-q", "-n", "10", "-o", "cat", "-u", name], stdout=subprocess.PIPE
    ).communicate()[0]
    line = "unit={} host={} error=the unit has failed".format(name, here())
    report(name, "failed on " + here(), line, [line, said.decode("utf-8", "replace")])


def report(subject, what, line, details):
    """Log a failure, and send it unless there was a message of this subject just before."""
    say(line)
    ways = [WAYS[variable] for variable in sorted(WAYS) if variable in os.environ]
    if not ways:
        return
    held = held_back(subject)
    if held is None:
        return
    if held:
        details = details + ["{} more since the last message".format(held)]
    for way in ways:
        try:
            way("Airflow: {}: {}".format(subject, what), "\n\n".join(filter(None, details)))
        except Exception as error:
            say("{} can't send: {}".format(way.__name__, one_line(error)))


def one_line(error):
    if isinstance(error, BaseException):
        error = "{}: {}".format(type(error).__name__, error)
    return " | ".join(str(error or "unknown").split("\n")).strip()


def redacted(text):
    """Mask what Airflow masks in a task's log, from 2.1 on."""
    for module in ("airflow.sdk.log", "airflow.utils.log.secrets_masker"):
        try:
            return importlib.import_module(module).redact(text)
        except (AttributeError, ImportError):
            continue
    return text


def say(line):
    syslog.openlog("airflow-report")
    syslog.syslog(syslog.LOG_ERR, line)


def here():
    return os.environ["AIRFLOW_HOSTNAME"]


def held_back(subject):
    """Return how many were held back since the last message; None when this one is to be, too."""
    try:
        with shared(subject) as row:
            return due(row)
    except Exception:
        # The database may be what has failed; and a report of a unit needs no other host.
        with own(subject) as row:
            return due(row)


def due(row):
    if row["sent"] > time.time() - float(os.environ["AIRFLOW_REPORT_INTERVAL"]):
        row["held"] += 1
        return None
    held = row["held"]
    row.update(sent=time.time(), held=0)
    return held


@contextlib.contextmanager
def shared(subject):
    """Lend what all hosts know of a subject, from the database of the tasks' results."""
    from airflow_sql import RESULTS, transaction  # which a host without Airflow lacks

    with transaction(RESULTS) as cursor:
        # Two that make the table at once would disturb each other.
        cursor.execute("SELECT pg_advisory_xact_lock(7240921)")
        cursor.execute(TABLE)
        cursor.execute(
            "INSERT INTO airflow_reports VALUES (%s, 0, 0) ON CONFLICT DO NOTHING", [subject]
        )
        cursor.execute("SELECT sent, held FROM airflow_reports WHERE subject = %s", [subject])
        row = dict(zip(("sent", "held"), cursor.fetchone()))
        yield row
        cursor.execute(
            "UPDATE airflow_reports SET sent = %s, held = %s WHERE subject = %s",
            [row["sent"], row["held"], subject],
        )


@contextlib.contextmanager
def own(subject):
    """Lend what this host knows of a subject, from a file."""
    with open(os.path.join(os.environ["AIRFLOW_HOME"], "reports.json"), "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        rows = json.loads(file.read() or "{}")
        yield rows.setdefault(subject, {"sent": 0, "held": 0})
        file.seek(0)
        file.truncate()
        json.dump(rows, file)


def send_mail(subject, text):
    message = email.mime.text.MIMEText(text, "plain", "utf-8")
    to = os.environ["AIRFLOW_REPORT_EMAIL"].split(",")
    message["Subject"], message["To"] = subject, ", ".join(to)
    message["From"] = smtp("smtp_mail_from", "airflow@" + here())
    secure, port = smtp("smtp_ssl", "False"), int(smtp("smtp_port", "25"))
    kind = smtplib.SMTP_SSL if secure == "True" else smtplib.SMTP
    server = kind(smtp("smtp_host", "localhost"), port, timeout=PATIENCE)
    if smtp("smtp_starttls", "False") == "True":
        server.starttls()
    if smtp("smtp_user", ""):
        server.login(smtp("smtp_user", ""), smtp("smtp_password", ""))
    server.sendmail(message["From"], to, message.as_string())
    server.quit()


def smtp(key, default):
    """Return a setting of airflow.cfg's section smtp."""
    parser = configparser.RawConfigParser()
    parser.read(os.path.join(os.environ["AIRFLOW_HOME"], "airflow.cfg"))
    if parser.has_option("smtp", key):
        default = parser.get("smtp", key).replace("%%", "%")
    return os.environ.get("AIRFLOW__SMTP__" + key.upper(), default)


def send_to_webhook(subject, text):
    body = json.dumps({"text": "{}\n{}".format(subject, text)}).encode("utf-8")
    header = {"Content-Type": "application/json"}
    urlopen(Request(os.environ["AIRFLOW_REPORT_WEBHOOK"], body, header), timeout=PATIENCE)


def run_command(subject, text):
    environment = dict(os.environ, AIRFLOW_REPORT_SUBJECT=subject)
    command = ["timeout", str(PATIENCE), "sh", "-c", os.environ["AIRFLOW_REPORT_COMMAND"]]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    process.communicate(text.encode("utf-8"))
    if process.returncode:
        raise RuntimeError("it ended with code {}".format(process.returncode))


WAYS = {
    "AIRFLOW_REPORT_EMAIL": send_mail,
    "AIRFLOW_REPORT_WEBHOOK": send_to_webhook,
    "AIRFLOW_REPORT_COMMAND": run_command,
}

if __name__ == "__main__":
    unit_failed(sys.argv[1])
