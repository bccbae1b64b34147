"""Ask a deployed Airflow how it is, without importing it: a second instead of three.

Runs under every Python that an Airflow runs on, with Airflow's environment, as

    airflow_probe.py SECONDS QUESTION...

where a question is a JSON list, and prints a word for each of them in turn:

    ["schema", "TABLE=FOLDER", ...]     yes when each table stands at the last migration of its
                                        folder in the environment, none without any, else no
    ["revisions"]                       the migrations at which the database stands, or none
    ["login", "NAME", "EMAIL"]          yes when NAME has the password on stdin, none when it is not
                                        there, else what it has otherwise
    ["web", "UNIT", "URL", ...]         yes when every URL answers 200, else no
    ["flower", "UNIT", "URL"]           yes when URL answers at all
    ["health", "UNIT", "URL"]           the same
    ["heartbeat", "JOB", "STAMP"]       yes after a heartbeat of JOB newer than the file STAMP
    ["worker", "QUEUE", ...]            yes when this host's worker takes tasks from each QUEUE
    ["age", "JOB"]                      seconds since this host's last heartbeat of JOB
    ["imports"]                         yes when every DAG file can be imported, else their names
    ["secrets"]                         how many stored secrets the Fernet keys open, such as
                                        "7 of 7", or "5 of 7: " and the names of the others
    ["schedulers", "NAME", ...]         who else schedules than the hosts NAME, or none
    ["files"]                           names of the active DAGs without a file, or none

Those from web to worker are asked again until they hold or the time is over. The word is unknown
where the database or the broker can't be asked. Any but yes makes the exit code 1. Where a process
that is not of the systemd unit UNIT answers in its place, a sentence says so.
"""

from __future__ import print_function

import base64
import glob
import hashlib
import hmac
import io
import itertools
import json
import os
import pwd
import re
import socket
import struct
import sys
import sysconfig
import time

from airflow_sql import fetched, query

try:
    from urllib.error import HTTPError, URLError
    from urllib.parse import urlsplit
    from urllib.request import urlopen
except ImportError:  # Python 2
    from urllib2 import HTTPError, URLError, urlopen
    from urlparse import urlsplit


PASSWORD_AUTH_LOGIN = "SELECT password, email, true, true FROM users WHERE username = %s"
FAB_LOGIN = (
    "SELECT password, email, active, EXISTS (SELECT FROM ab_user_role"
    " JOIN ab_role ON ab_role.id = ab_user_role.role_id"
    " WHERE ab_user_role.user_id = ab_user.id AND ab_role.name = 'Admin')"
    " FROM ab_user WHERE username = %s"
)
# Stored as a Fernet token: what it is called, and its text.
ENCRYPTED = {
    "connection": (
        "SELECT 'connection ' || conn_id, password FROM connection WHERE is_encrypted"
        " UNION ALL"
        " SELECT 'connection ' || conn_id, extra FROM connection WHERE is_extra_encrypted"
    ),
    "variable": "SELECT 'variable ' || key, val FROM variable WHERE is_encrypted",
    # Plain before Airflow 2.9, and where a migration could not encrypt it.
    "trigger": (
        "SELECT 'trigger ' || id, kwargs::text FROM trigger WHERE left(kwargs::text, 5) = 'gAAAA'"
    ),
}
SCHEDULERS = (
    "SELECT coalesce(hostname, ''), coalesce(unixname, ''), min(age) FROM ("
    "SELECT *, extract(epoch FROM now()) - extract(epoch FROM latest_heartbeat) AS age FROM job"
    " WHERE job_type IN ('SchedulerJob', 'DagProcessorJob', 'TriggererJob') AND state = 'running'"
    ") AS running WHERE age < 60 GROUP BY 1, 2 ORDER BY 3"
)
# Active is a column of Airflow 1 and 2, stale and the bundle are those of Airflow 3; a bundle that
# is no folder of this host keeps its files where only its process sees them.
ACTIVE_DAGS = (
    "SELECT dag_id, fileloc FROM (SELECT dag_id, fileloc, to_jsonb(dag) AS has FROM dag) AS known"
    " WHERE fileloc IS NOT NULL AND (has ->> 'is_active' = 'true' OR has ->> 'is_stale' = 'false')"
    " AND coalesce(has ->> 'bundle_name', 'dags-folder') = 'dags-folder' ORDER BY dag_id"
)
MOST_NAMES = 10


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
    """Return the migrations in a folder that no other one follows."""
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
    password = first_line()
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


def first_line():
    """Return the first line of standard input, as bytes."""
    with io.open(0, "rb", closefd=False) as stdin:
        return stdin.readline().rstrip(b"\n")


def matches(password, stored):
    """Return whether ``stored`` is a hash of ``password``: bcrypt's or one of Werkzeug's."""
    if stored.startswith("$2"):
        import bcrypt

        return bcrypt.hashpw(password, stored.encode("ascii")) == stored.encode("ascii")
    from werkzeug.security import check_password_hash

    return check_password_hash(stored, password.decode("utf-8"))


def web(unit, *urls):
    return stranger(unit, urls[0]) or pages(*urls)


def pages(*urls):
    try:
        return all(urlopen(url, timeout=30).getcode() == 200 for url in urls)
    except (URLError, socket.error):
        query("SELECT 1")  # without its database it can't answer
        return False


def flower(unit, url):
    return stranger(unit, url) or answers(url)


def answers(url):
    try:
        return bool(urlopen(url, timeout=10).getcode())
    except HTTPError:
        return True
    except (URLError, socket.error):
        return False


def stranger(unit, url):
    """Say who listens at the port of ``url``, where no process of ``unit`` does but another one."""
    sockets = listeners(url)
    here = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    if not sockets or holder(sockets, (pid for pid in here if belongs(pid, sockets, unit))):
        return ""
    pid = holder(sockets, here)
    who = "{}, process {}".format(command_of(pid), pid) if pid else "of user " + user_of(sockets)
    return "port {} is answered by another program ({})".format(urlsplit(url).port, who)


def listeners(url):
    """Return the sockets that listen where ``url`` leads to: number -> user's number."""
    parts = urlsplit(url)
    found = socket.getaddrinfo(parts.hostname, parts.port, 0, socket.SOCK_STREAM)
    family, _, _, _, place = found[0]
    packed = socket.inet_pton(family, str(place[0]))
    address = "".join("%08X" % word for word in struct.unpack("=%dI" % (len(packed) // 4), packed))
    sockets = {}  # type: dict[str, dict[str, int]]
    for fields in listening():
        local, _, port = fields[1].partition(":")
        if int(port, 16) == parts.port:
            sockets.setdefault(local, {})[fields[9]] = int(fields[7])
    # The kernel prefers the address itself to any address of its kind, and that to any at all.
    near = [address, "0" * len(address), "0" * 32]
    return next((sockets[local] for local in near if local in sockets), {})


def listening():
    """Return the fields of the kernel's lines about sockets that listen, which come first."""
    for path in filter(os.path.exists, ("/proc/net/tcp", "/proc/net/tcp6")):
        with open(path) as table:
            next(table)
            every = (line.split() for line in table)
            for fields in itertools.takewhile(lambda each: each[3] == "0A", every):
                yield fields


def belongs(pid, sockets, unit):
    """Return whether a process is one of ``unit``, and of a user who has the sockets."""
    try:
        if os.stat("/proc/%d" % pid).st_uid not in sockets.values():
            return False
        with open("/proc/%d/cgroup" % pid) as groups:
            return is_of(unit, groups.read())
    except (IOError, OSError):  # it has ended
        return False


def is_of(unit, groups):
    """Return whether control groups, of version 1 or 2, are those of ``unit``."""
    return bool(re.search("/" + re.escape(unit) + "(/|$)", groups, re.MULTILINE))


def holder(sockets, processes):
    """Return the first process that has one of the sockets, of those that may be looked into."""
    wanted = set("socket:[{}]".format(number) for number in sockets)
    for pid in processes:
        folder = "/proc/%d/fd/" % pid
        try:
            if wanted.intersection(os.readlink(folder + name) for name in os.listdir(folder)):
                return pid
        except OSError:
            continue
    return None


def command_of(pid):
    with open("/proc/%d/comm" % pid) as name:
        return name.read().strip()


def user_of(sockets):
    number = min(sockets.values())
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


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


def imports():
    files = query("SELECT array_agg(filename) FROM import_error")[0]
    return "yes" if not files else ", ".join(sorted(files))


def secrets():
    """Return how many secrets were encrypted with one of the keys, and the others' names."""
    keys = [signing_key(key) for key in os.environ["AIRFLOW__CORE__FERNET_KEY"].split(",") if key]
    tables = [table for table in sorted(ENCRYPTED) if exists(table)]
    rows = [row for table in tables for row in fetched(ENCRYPTED[table])]
    stored = [(name, token) for name, token in rows if token]
    closed = [name for name, token in stored if not opens(keys, token)]
    count = "{} of {}".format(len(stored) - len(closed), len(stored))
    return count + (": " + listed(closed) if closed else "")


def signing_key(key):
    return base64.urlsafe_b64decode(key)[:16]


def opens(keys, token):
    """Return whether one of the keys has signed a Fernet token, as its end shows."""
    try:
        raw = base64.urlsafe_b64decode(token)
    except (TypeError, ValueError):
        return False
    signed, signature = raw[:-32], raw[-32:]
    return any(hmac.new(key, signed, hashlib.sha256).digest() == signature for key in keys)


def schedulers(*names):
    """Name the hosts and users that schedule, and are none of ours."""
    ours = set(names).union([socket.getfqdn()])  # as Airflow 1.8 calls it
    others = [
        "{} ({}), heartbeat {} s ago".format(name, account, int(seconds))
        for name, account, seconds in fetched(SCHEDULERS)
        if not (account == "airflow" and is_named(name, ours))
    ]
    return "; ".join(others) or "none"


def is_named(host, names):
    """Return whether a host has one of the names, maybe with a domain behind it."""
    return any((host + ".").startswith(name + ".") for name in names)


def files():
    """Name the active DAGs whose file is not there."""
    folder = os.path.join(os.environ["AIRFLOW_HOME"], "dags")
    located = [(dag, os.path.join(folder, path)) for dag, path in fetched(ACTIVE_DAGS)]
    # That of a packaged DAG is a file in an archive.
    lost = [dag for dag, path in located if not os.path.exists(re.sub(r"\.zip/.*", ".zip", path))]
    return listed(lost) or "none"


def listed(names):
    """Write each name once, and of many the first ones."""
    every = sorted(set(names))
    more = len(every) - MOST_NAMES
    return ", ".join(every[:MOST_NAMES]) + (" and {} more".format(more) if more > 0 else "")


def in_utc(seconds):
    return time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(seconds))


def celery_worker():
    """Return Celery's remote control, and this host's worker as Celery calls it."""
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
    "secrets": secrets,
    "schedulers": schedulers,
    "files": files,
}


def answer(what, arguments):
    """Return the word for one question, and why it is not yes."""
    try:
        held = dict(CHECKS, **ASKS)[what](*arguments)
    except Exception as error:
        return "unknown", "{}: {}".format(type(error).__name__, error)
    word = {True: "yes", False: "no"}.get(held, held)
    # One line, whatever the database calls its things.
    word = " ".join(word.split())
    said = "does not hold" if word == "no" else "says: " + word
    return word, "the check {} {}".format(what, said)


def main(seconds, *questions):
    end = time.time() + float(seconds)
    asked = [json.loads(question) for question in questions]
    answers = {}  # type: dict[int, tuple[str, str]]
    while True:
        last = time.time() >= end
        for number, question in enumerate(asked):
            if answers.get(number, ("no",))[0] != "yes":
                answers[number] = answer(question[0], question[1:])
        waiting = [n for n in answers if answers[n][0] != "yes" and asked[n][0] in CHECKS]
        if last or not waiting:
            break
        time.sleep(1)
    for number in sorted(answers):
        print(answers[number][0])
    sys.exit("\n".join(why for word, why in answers.values() if word != "yes") or None)


if __name__ == "__main__":
    main(*sys.argv[1:])
