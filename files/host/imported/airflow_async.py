"""How Airflow connects asynchronously to its database, for what no URL can tell asyncpg."""

import os
import ssl
import uuid

ASYNC = {}  # type: dict[str, object]
if "AIRFLOW_DATABASE_CA" in os.environ:
    _context = ssl.create_default_context(cafile=os.environ["AIRFLOW_DATABASE_CA"])
    _context.check_hostname = os.environ["AIRFLOW_DATABASE_SSLMODE"] == "verify-full"
    ASYNC["ssl"] = _context
if "AIRFLOW_DATABASE_PORT" in os.environ:
    # From PgBouncer each transaction may get a connection on which others have prepared theirs.
    ASYNC["statement_cache_size"] = ASYNC["prepared_statement_cache_size"] = 0
    ASYNC["prepared_statement_name_func"] = lambda: "airflow_{}".format(uuid.uuid4())
