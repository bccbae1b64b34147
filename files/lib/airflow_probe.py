"""Ask a deployed Airflow how it is, without importing it: a second instead of three.

Runs under every Python that an Airflow runs on, with Airflow's environment:

    airflow_probe.py schema               print the migration that the database stands at
    airflow_probe.py login NAME EMAIL     print "same" when NAME has the password on stdin
    airflow_probe.py web URL SECONDS      wait until URL answers 200
    airflow_probe.py flower URL SECONDS   wait until URL answers at all
    airflow_probe.py scheduler STAMP SECONDS   wait for a heartbeat newer than the file STAMP
    airflow_probe.py worker SECONDS       wait until this host's worker answers a ping

Exit code 1 and a line on stderr when the time is over.
"""

from __future__ import print_function

import os
import re
import socket
import sys
import time

try:
    from urllib.error import HTTPError
    from urllib.request import urlopen
except ImportError:  # Python 2
    from urllib2 import HTTPError, urlopen


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
    print(row[0] if row else "none")


def login(name, email):
    import bcrypt

    password = sys.stdin.readline().rstrip("\n").encode("utf-8")
    row = query("SELECT email, password FROM users WHERE username = %s", name)
    if row and row[0] == email and row[1]:
        stored = row[1].encode("ascii")
        if bcrypt.hashpw(password, stored) == stored:
            print("same")


def web(url):
    return urlopen(url, timeout=10).getcode() == 200


def flower(url):
    try:
        return bool(urlopen(url, timeout=10).getcode())
    except HTTPError:
        return True


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
    """Try ``check`` until it holds, or fail with its last answer."""
    end = time.time() + seconds
    while True:
        try:
            answer = "not yet"
            if check(*arguments):
                return
        except Exception as error:
            answer = "{}: {}".format(type(error).__name__, error)
        if time.time() >= end:
            sys.exit("no healthy {} within {:.0f} s: {}".format(check.__name__, seconds, answer))
        time.sleep(1)


def main(what, *arguments):
    if what == "schema":
        schema()
    elif what == "login":
        login(*arguments)
    else:
        checks = {"web": web, "flower": flower, "scheduler": scheduler, "worker": worker}
        wait(checks[what], arguments[:-1], float(arguments[-1]))


main(*sys.argv[1:])
