"""The encryption of Airflow's asynchronous connections to its database, which read no sslmode."""

import os
import ssl

_context = ssl.create_default_context(cafile=os.environ["AIRFLOW_DATABASE_CA"])
_context.check_hostname = os.environ["AIRFLOW_DATABASE_SSLMODE"] == "verify-full"
ASYNC = {"ssl": _context}
