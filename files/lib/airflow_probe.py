"""Ask a deployed Airflow how it is, without importing it: a second instead of three.

Runs under every Python that an Airflow runs on, with Airflow's environment, as

    airflow_probe.py SECONDS QUESTION...

where a question is a JSON list, and prints a word for each of them in turn:

    ["schema", "TABLE=FOLDER", ...]     yes when each table stands at the last migration of its
                                        folder in the environment, none without any, else no
    ["revisions"]                       the migrations at which the database stands, or none
    ["login", "NAME", "EMAIL"]          yes when NAME has the password on stdin, none when it is not
                                        there, else what it has otherwise
    ["web", "URL", ...]                 yes when every URL answers 200, else no
    ["flower", "URL"]                   yes when URL answers at all
    ["health", "URL"]                   the same
    ["heartbeat", "JOB", "STAMP"]       yes after a heartbeat of JOB newer than the file STAMP
    ["worker", "QUEUE", ...]            yes when this host's worker takes tasks from each QUEUE
    ["age", "JOB"]                      seconds since this host's last heartbeat of JOB
    ["used"]                            yes when there are data that one could miss
    ["imports"]                         yes when every DAG file can be imported, else their names

Those from web to worker are asked again until they hold or the time is over. The word is unknown
where the database or the broker can't be asked. Any but yes makes the exit code 1.
"""

from __future__ import print_function

import glob
import json
import os
import re
import socket
import sys
import sysconfig
import time

try:
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen
except ImportError:  # Python 2
    from urllib2 import HTTPError, URLError, urlopen


PASSWORD_AUTH_LOGIN = "SELECT password, email, true, true FROM users WHERE username = %s"
FAB_LOGIN = (
    "SELECT password, email, active, EXISTS (SELECT FROM ab_user_role"
    " JOIN ab_role ON ab_role.id = ab_user_role.role_id"
    " WHERE ab_user_role.user_id = ab_user.id AND ab_role.name = 'Admin')"
    " FROM ab_user WHERE username = %s"
)
EXAMPLES = (
    "right(conn_id, 8) = '_default' OR conn_id IN ('airflow_ci', 'airflow_db', 'local_mysql')"
)


def query(sql, *values):
    """Give the first row of a query to the metadata database."""
    import psycopg2

    (url,) = [os.environ[key] for key in os.environ if key.endswith("__SQL_ALCHEMY_CONN")]
    connection = psycopg2.connect(re.sub(r"^postgresql\+\w+:", "postgresql:", url), connect_timeout=5)
    connection.autocommit = True
    try:
        cursor = connection.cursor()
        cursor.execute(sql, values)
        return cursor.fetchone()
    finally:
        connection.close()


def exists(table):
    return query("SELECT to_regclass(%s) IS NOT NULL", table)[0]


def schema(*pairs):
    wanted = [heads(pair.partition("=")[2]) for pair in pairs]
    have = [versions(pair.partition("=")[0]) for pair in pairs]
    return "yes" if have == wanted else "no" if any(have) else "none"


def versions(table):
    if not exists(table):
        return set()
    return set(query("SELECT array_agg(version_num) FROM " + table)[0] or ())


def revisions():
    return ",".join(sorted(versions("alembic_version"))) or "none"


def heads(folder):
    """Give the migrations in a folder that no other one follows."""
    known, followed = set(), set()
    pattern = os.path.join(sysconfig.get_path("purelib"), folder, "versions", "*.py")
    for path in glob.glob(pattern):
        with open(path) as file:
            text = file.read()
        known.update(assigned("revision", text))
        followed.update(assigned("down_revision", text))
    return known - followed


def assigned(name, text):
    line = re.search(r"^" + name + r"\b[^=]*=(.*)", text, re.MULTILINE)
    return re.findall(r"""["'](\w+)["']""", line.group(1)) if line else []


def login(name, email):
    password = getattr(sys.stdin, "buffer", sys.stdin).readline().rstrip(b"\n")
    row = query(FAB_LOGIN if exists("ab_user") else PASSWORD_AUTH_LOGIN, name)
    if not row:
        return "none"
    stored, have, active, admin = row
    held = {
        "password": stored and matches(password, stored),
        "e-mail": have == email,
        "active": active,
        "role": admin,
    }
    return ", ".join(sorted(name for name in held if not held[name])) or "yes"


def matches(password, stored):
    """Tell whether ``stored`` is a hash of ``password``: bcrypt's or one of Werkzeug's."""
    if stored.startswith("$2"):
        import bcrypt

        return bcrypt.hashpw(password, stored.encode("ascii")) == stored.encode("ascii")
    from werkzeug.security import check_password_hash

    return check_password_hash(stored, password.decode("utf-8"))


def web(*urls):
    try:
        return all(urlopen(url, timeout=30).getcode() == 200 for url in urls)
    except (URLError, socket.error):
        query("SELECT 1")  # without its database it can't answer
        return False


def flower(url):
    try:
        return bool(urlopen(url, timeout=10).getcode())
    except HTTPError:
        return True
    except (URLError, socket.error):
        return False


def heartbeat(job, stamp):
    started = os.stat(stamp).st_mtime
    row = query(
        "SELECT max(latest_heartbeat) > %s AND max(latest_heartbeat) > %s FROM job"
        " WHERE job_type = %s AND state = 'running' AND hostname IN (%s, %s)",
        in_utc(started),
        in_utc(time.time() - 60),
        job,
        socket.getfqdn(),
        os.environ["AIRFLOW_HOSTNAME"],
    )
    return bool(row[0])


def age(job):
    row = query(
        "SELECT extract(epoch FROM now()) - extract(epoch FROM max(latest_heartbeat)) FROM job"
        " WHERE job_type = %s AND state = 'running' AND hostname IN (%s, %s)",
        job,
        socket.getfqdn(),
        os.environ["AIRFLOW_HOSTNAME"],
    )
    return "never" if row[0] is None else str(int(row[0]))


def used():
    """Tell whether there are rows that Airflow does not make by itself."""
    if not exists("dag_run"):
        return False
    # Airflow 1 has connections of its own, and alone a table of charts.
    whose = EXAMPLES if exists("chart") else "false"
    rows = {
        "dag_run": "dag_id = 'verify_workers'",
        "variable": "false",
        "slot_pool": "pool = 'default_pool'",
        "connection": whose,
    }
    asked = "SELECT EXISTS (SELECT FROM {} WHERE NOT ({}))"
    return any(query(asked.format(table, rows[table]))[0] for table in sorted(rows))


def imports():
    files = query("SELECT array_agg(filename) FROM import_error")[0]
    return "yes" if not files else ", ".join(sorted(files))


def in_utc(seconds):
    return time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(seconds))


def celery_worker():
    """Give Celery's remote control, and this host's worker as Celery calls it."""
    from celery import Celery

    application = Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"])
    if os.environ.get("AIRFLOW_BROKER_TLS"):
        application.conf.broker_use_ssl = json.loads(os.environ["AIRFLOW_BROKER_TLS"])
    # not always the host's full name
    return application.control, "celery@" + socket.gethostname()


def worker(*queues):
    control, name = celery_worker()
    answer = control.inspect(destination=[name], timeout=3).active_queues()
    return set(queues) <= set(queue["name"] for queue in (answer or {}).get(name) or ())


CHECKS = {"web": web, "flower": flower, "health": flower, "heartbeat": heartbeat, "worker": worker}
ASKS = {
    "schema": schema,
    "revisions": revisions,
    "login": login,
    "age": age,
    "imports": imports,
    "used": used,
}


def answer(what, arguments):
    """Give the word for one question, and why it is not yes."""
    try:
        held = dict(CHECKS, **ASKS)[what](*arguments)
    except Exception as error:
        return "unknown", "{}: {}".format(type(error).__name__, error)
    word = {True: "yes", False: "no"}.get(held, held)
    return word, "the check {} does not hold".format(what)


def main(seconds, *questions):
    end = time.time() + float(seconds)
    questions = [json.loads(question) for question in questions]
    answers = {}
    while True:
        last = time.time() >= end
        for number, question in enumerate(questions):
            if answers.get(number, ("no",))[0] != "yes":
                answers[number] = answer(question[0], question[1:])
        waiting = [n for n in answers if answers[n][0] != "yes" and questions[n][0] in CHECKS]
        if last or not waiting:
            break
        time.sleep(1)
    for number in sorted(answers):
        print(answers[number][0])
    sys.exit("\n".join(why for word, why in answers.values() if word != "yes") or None)


if __name__ == "__main__":
    main(*sys.argv[1:])
