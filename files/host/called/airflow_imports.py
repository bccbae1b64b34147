"""Import DAG files as Airflow does, and print which can't be, as JSON: path -> traceback.

    airflow_imports.py FOLDER [PLUGINS]

The folder may be a copy of the one that Airflow reads, and so may that of plugins. The database may
have no schema yet.
"""

from __future__ import print_function

import json
import os
import sys
import traceback


def main(folder, plugins=""):
    # What the files print is not ours.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ.update(environment(folder, plugins))
    sys.dont_write_bytecode = True
    sys.path.append(folder)
    try:
        answer = errors(folder)
    except BaseException:  # such as a file that exits
        answer = {folder: traceback.format_exc()}
    out.write(json.dumps(answer))
    out.close()
    # Threads that a file has started don't keep this.
    os._exit(0)


def environment(folder, plugins):
    """Return the variables with which Airflow reads the folders."""
    found = {
        "AIRFLOW__CORE__DAGS_FOLDER": folder,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "10",
        # Else a variable of the database could not be read by a DAG file of Airflow 3.
        "_AIRFLOW_PROCESS_CONTEXT": "server",
    }
    if plugins:
        found["AIRFLOW__CORE__PLUGINS_FOLDER"] = plugins
    if "AIRFLOW_DAGS_REPOSITORY" in os.environ:
        found["AIRFLOW_DAGS_REPOSITORY"] = os.path.join(folder, "repository")
    return found


def errors(folder):
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3
        from airflow.models import DagBag
    found = DagBag(folder).import_errors
    paths = {os.path.join(folder, path): text for path, text in found.items()}
    return {path: with_traceback(path, paths[path]) for path in paths}


def with_traceback(path, text):
    """Airflow 1 has the message alone."""
    if "Traceback" in text or not path.endswith(".py"):
        return text
    try:
        with open(path, "rb") as file:
            exec(compile(file.read(), path, "exec"), {"__name__": "dag", "__file__": path})
    except BaseException:
        kind, error, trace = sys.exc_info()
        return "".join(traceback.format_exception(kind, error, trace.tb_next))
    return text


if __name__ == "__main__":
    main(*sys.argv[1:])
