"""Ask the databases whose URLs stand in Airflow's environment, without importing Airflow."""

import contextlib
import os
import re

METADATA = "__SQL_ALCHEMY_CONN"
"""What the variable with the metadata database's URL ends with, in every release."""
RESULTS = "RESULT_BACKEND"
"""That of the database with the tasks' results."""


def variable(ending):
    """Return the name of the one variable that ends so."""
    (name,) = [name for name in os.environ if name.endswith(ending)]
    return name


def for_libpq(url):
    """Return a URL of SQLAlchemy's or Celery's as PostgreSQL's own library reads it."""
    return re.sub(r"^(db\+)?postgresql(\+\w+)?:", "postgresql:", url)


def connect(url, seconds=5):
    """Connect to a database that answers within so many seconds."""
    import psycopg2

    return psycopg2.connect(for_libpq(url), connect_timeout=seconds)


@contextlib.contextmanager
def transaction(ending):
    """Lend a cursor, and commit what was done with it unless that fails."""
    connection = connect(os.environ[variable(ending)])
    try:
        yield connection.cursor()
        connection.commit()
    finally:
        connection.close()


def fetched(sql, *values):
    """Return all rows of a query to the metadata database."""
    with transaction(METADATA) as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def query(sql, *values):
    """Return the first row of a query to the metadata database; None where there is none."""
    return (fetched(sql, *values) or [None])[0]
