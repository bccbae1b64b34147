"""Ask a deployed Airflow how it is, without importing it: a second instead of three.

Runs under every Python that an Airflow runs on, with Airflow's environment, and prints a word:

    airflow_probe.py schema                  the migration that the database stands at, or none
    airflow_probe.py login NAME EMAIL        yes when NAME has the password on stdin, else no
    airflow_probe.py web URL SECONDS         yes when URL answers 200 within that time, else no
    airflow_probe.py flower URL SECONDS      yes when URL answers at all
    airflow_probe.py scheduler STAMP SECONDS yes after a heartbeat newer than the file STAMP
    airflow_probe.py worker SECONDS          yes when this host's worker answers a ping

The word is unknown where the database or the broker can't be asked. Any but yes, and not the
migration, makes the exit code 1 and says why on stderr.
"""

from __future__ import print_function

import os
import re
import socket
import sys
import time

try:
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen
except ImportError:  # Python 2
    from urllib2 import HTTPError, URLError, urlopen


def query(sql, *values):
    """Give the first row of a query to the metadata database."""
    import psycopg2

    url = os.environ["AIRFLOW__CORE__SQL_ALCHEMY_CONN"]
    connection = psycopg2.connect(re.sub(r"^postgresql\+\w+:", "postgresql:", url), connect_timeout=5)
    try:
        cursor = connection.cursor()
        cursor.execute(sql, values)
        return cursor.fetchone()
    finally:
        connection.close()


def schema():
    row = query("SELECT to_regclass('alembic_version') IS NOT NULL")
    row = query("SELECT version_num FROM alembic_version") if row[0] else None
    return row[0] if row else "none"


def login(name, email):
    import bcrypt

    password = sys.stdin.readline().rstrip("\n").encode("utf-8")
    row = query("SELECT email, password FROM users WHERE username = %s", name)
    if not row or row[0] != email or not row[1]:
        return False
    stored = row[1].encode("ascii")
    return bcrypt.hashpw(password, stored) == stored


def web(url):
    try:
        return urlopen(url, timeout=10).getcode() == 200
    except (URLError, socket.error):
        return False


def flower(url):
    try:
        return bool(urlopen(url, timeout=10).getcode())
    except HTTPError:
        return True
    except (URLError, socket.error):
        return False


def scheduler(stamp):
    row = query(
        "SELECT max(latest_heartbeat) > %s AND max(latest_heartbeat) > %s FROM job"
        " WHERE job_type = 'SchedulerJob' AND state = 'running' AND hostname = %s",
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(os.stat(stamp).st_mtime)),
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 60)),
        socket.getfqdn(),
    )
    return bool(row[0])


def worker():
    from celery import Celery

    application = Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"])
    # celery's own name for a node, which is not always the full one
    name = "celery@" + socket.gethostname()
    return bool(application.control.inspect(destination=[name], timeout=3).ping())


def wait(check, arguments, seconds):
    """Try ``check`` until it holds or the time is over, and give its last answer."""
    end = time.time() + seconds
    while not check(*arguments):
        if time.time() >= end:
            return False
        time.sleep(1)
    return True


def main(what, *arguments):
    asks = {"schema": schema, "login": login}
    checks = {"web": web, "flower": flower, "scheduler": scheduler, "worker": worker}
    try:
        if what in asks:
            answer = asks[what](*arguments)
        else:
            answer = wait(checks[what], arguments[:-1], float(arguments[-1]))
    except Exception as error:
        print("unknown")
        sys.exit("{}: {}".format(type(error).__name__, error))
    print({True: "yes", False: "no"}.get(answer, answer))
    if answer is False:
        sys.exit("the check {} does not hold".format(" ".join((what,) + arguments)))


main(*sys.argv[1:])
