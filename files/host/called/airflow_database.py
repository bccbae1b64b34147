"""Dump the metadata database to standard output, or put a dump from standard input in its place:

    airflow_database.py dump
    airflow_database.py restore
    airflow_database.py pause
    airflow_database.py run COMMAND...

The third pauses every DAG and prints those that were active.

A restore is one transaction: what was there goes, and comes back when the restore breaks off. A
command that is run finds the database, as the other two do, without PgBouncer in between: a lock of
a session, such as Airflow's own while it migrates, may never end there.
"""

from __future__ import print_function

import os
import re
import subprocess
import sys

from airflow_sql import METADATA, variable

try:
    from urllib.parse import parse_qs, unquote, urlsplit
except ImportError:  # Python 2
    from urllib import unquote  # type: ignore[attr-defined]

    from urlparse import parse_qs, urlsplit


def address():
    """Return the database's URL, at PostgreSQL's own port."""
    parts = urlsplit(os.environ[variable(METADATA)])
    port = os.environ.get("AIRFLOW_DATABASE_PORT")
    netloc = re.sub(r":\d+$", ":" + port, parts.netloc) if port else parts.netloc
    return parts._replace(netloc=netloc).geturl()


def environment():
    """Return what PostgreSQL's programs read; their arguments are everybody's to see."""
    parts = urlsplit(address())
    options = parse_qs(parts.query)
    tls = [name for name in ("sslmode", "sslrootcert") if name in options]
    found = dict(os.environ, **{"PG" + name.upper(): options[name][0] for name in tls})
    found.update(
        PGHOST=parts.hostname,
        PGPORT=str(parts.port or 5432),
        PGUSER=unquote(parts.username),
        PGPASSWORD=unquote(parts.password),
        PGDATABASE=parts.path.strip("/"),
    )
    return found


def dump():
    command = ["pg_dump", "-Fc", "--no-owner", "--no-privileges", "--no-comments"]
    sys.exit(subprocess.call(command, env=environment()))


def restore():
    """Put back the schema and the rows, in a database that holds nothing else of this role."""
    psql = subprocess.Popen(
        ["psql", "-Xq", "--single-transaction", "-v", "ON_ERROR_STOP=1", "-o", os.devnull],
        stdin=subprocess.PIPE,
        env=environment(),
    )
    psql.stdin.write(b"SET client_min_messages = warning; DROP OWNED BY CURRENT_USER;\n")
    psql.stdin.flush()
    read = subprocess.Popen(
        ["pg_restore", "--no-owner", "--no-privileges", "-f", "-"], stdout=psql.stdin
    )
    # A dump that can't be read to its end must not be committed.
    if read.wait():
        psql.kill()
        sys.exit("the dump can't be read")
    psql.stdin.close()
    sys.exit(psql.wait())


def pause():
    """Pause every DAG but the one that verifies."""
    sql = (
        "UPDATE dag SET is_paused = true WHERE NOT is_paused AND dag_id <> 'verify_workers'"
        " RETURNING dag_id"
    )
    command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql]
    sys.exit(subprocess.call(command, env=environment()))


def run():
    """Become the command."""
    os.environ[variable(METADATA)] = address()
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    {"dump": dump, "restore": restore, "pause": pause, "run": run}[sys.argv[1]]()
