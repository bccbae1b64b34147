"""Run a DAG with a task on every worker, and read their logs as the web UI's reader does.

airflow_canary.py run TRIGGER DAG SECONDS
    prints {"run": ID, "date": DATE, "tasks": {TASK: [STATE, HOST]}}; TRIGGER are the words of
    Airflow's command that triggers a DAG
airflow_canary.py logs READER URL USER DAG RUN DATE TASK...
    prints {TASK: LOG}, with USER's password on standard input; READER is page_1_8, page_1_10,
    api_v1 or api_v2
"""

from __future__ import print_function

import base64
import json
import os
import re
import subprocess
import sys
import time

from airflow_probe import first_line
from airflow_sql import query

try:
    from http.cookiejar import CookieJar
    from urllib.parse import urlencode
    from urllib.request import HTTPCookieProcessor, Request, build_opener
except ImportError:  # Python 2
    from urllib import urlencode  # type: ignore[attr-defined]

    from cookielib import CookieJar
    from urllib2 import HTTPCookieProcessor, Request, build_opener

FINAL = ("success", "failed", "upstream_failed", "skipped")


def run(trigger, dag, seconds):
    end = time.time() + float(seconds)
    while not query("SELECT 1 FROM dag WHERE dag_id = %s", dag):
        if time.time() > end:
            return {}
        time.sleep(1)
    query("UPDATE dag SET is_paused = false WHERE dag_id = %s RETURNING 1", dag)
    name = time.strftime("verify__%Y-%m-%dT%H:%M:%S", time.gmtime())
    command = ["airflow"] + trigger.split() + ["-r", name, dag]
    with open(os.devnull, "w") as nowhere:
        triggered = subprocess.call(command, stdout=nowhere, stderr=nowhere) == 0
    states = {}
    end = time.time() + float(seconds)
    while triggered and time.time() < end:
        states = tasks(dag, name)
        if finished(states):
            break
        time.sleep(0.5)
    return {"run": name if triggered else "", "date": date(dag, name), "tasks": states}


def finished(states):
    """Return whether there are tasks and all have come to an end: task -> state, host."""
    return bool(states) and all(state in FINAL for state, _ in states.values())


def tasks(dag, name):
    row = query(
        "SELECT json_object_agg(task_id, json_build_array(ti.state, hostname))"
        " FROM task_instance ti JOIN dag_run dr ON dr.dag_id = ti.dag_id"
        " WHERE dr.dag_id = %s AND dr.run_id = %s AND " + same_run(),
        dag,
        name,
    )
    return row[0] or {}


def same_run():
    by_id = query(
        "SELECT 1 FROM information_schema.columns"
        " WHERE table_name = 'task_instance' AND column_name = 'run_id'"
    )
    return "dr.run_id = ti.run_id" if by_id else "dr.execution_date = ti.execution_date"


def date(dag, name):
    """Return the date by which Airflow 1 knows a run."""
    row = query("SELECT row_to_json(d) FROM dag_run d WHERE dag_id = %s AND run_id = %s", dag, name)
    return row and row[0].get("execution_date")


def logs(reader, url, user, dag, run, date, *names):
    password = first_line().decode("utf-8")
    opener = build_opener(HTTPCookieProcessor(CookieJar()))
    readers = (page_1_8, page_1_10, api_v1, api_v2)
    fetch = {each.__name__: each for each in readers}[reader](opener, url, user, password)
    found = {}
    for name in names:
        try:
            found[name] = fetch(dag, run, date, name)
        except Exception as error:
            found[name] = "{}: {}".format(type(error).__name__, error)
    return found


def page_1_8(opener, url, user, password):
    form(opener, url + "/admin/airflow/login", "_csrf_token", user, password)
    return page(opener, url + "/admin/airflow/log")


def page_1_10(opener, url, user, password):
    form(opener, url + "/login/", "csrf_token", user, password)
    return page(opener, url + "/get_logs_with_metadata", try_number="1", metadata="{}")


def page(opener, url, **more):
    def fetch(dag, run, date, task):
        words = dict(more, dag_id=dag, task_id=task, execution_date=date)
        return read(opener, url + "?" + urlencode(words))

    return fetch


def api_v1(opener, url, user, password):
    pair = base64.b64encode((user + ":" + password).encode("utf-8")).decode("ascii")
    return rest(opener, url + "/api/v1", "Basic " + pair)


def api_v2(opener, url, user, password):
    login = json.dumps({"username": user, "password": password}).encode("utf-8")
    answer = read(opener, url + "/auth/token", {"Content-Type": "application/json"}, login)
    return rest(opener, url + "/api/v2", "Bearer " + json.loads(answer)["access_token"])


def rest(opener, api, authorization):
    headers = {"Accept": "application/json", "Authorization": authorization}
    path = "{}/dags/{}/dagRuns/{}/taskInstances/{}/logs/1"
    return lambda dag, run, date, task: read(opener, path.format(api, dag, run, task), headers)


def form(opener, url, field, user, password):
    """Log in by a form, which has a token against forged requests."""
    fields = {"username": user, "password": password.encode("utf-8")}
    fields[field] = hidden(field, read(opener, url))
    read(opener, url, {}, urlencode(fields).encode("ascii"))


def hidden(field, page):
    """Return the value of a form's field; empty without one."""
    found = re.search('name="' + field + '"[^>]*value="([^"]+)"', page)
    return found.group(1) if found else ""


def read(opener, url, headers=(), data=None):
    return opener.open(Request(url, data, dict(headers)), timeout=30).read().decode("utf-8")


if __name__ == "__main__":
    what, arguments = sys.argv[1], sys.argv[2:]
    print(json.dumps(run(*arguments) if what == "run" else logs(*arguments)))
