"""What a metadata database holds: the questions to it, and what their answers mean. Pure.

Each answer is a line of JSON, so that psql on a host and a connection from this machine read alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from packaging.version import Version

from ..catalog import schemas
from ..catalog.releases import no_way

_MANY = 100_000
"""Rows up to which they are counted: what is asked before every run has to be quick."""
_SECRETS = 2_000
"""Encrypted values of a kind that are tried."""
_ALIVE = 60
"""Seconds since its last heartbeat for which a process of Airflow counts as running."""
_EXAMPLES = (
    "right(conn_id, 8) = '_default' OR conn_id IN ('airflow_ci', 'airflow_db', 'local_mysql')"
)
"""Connections that Airflow 1, which alone has a table of charts, makes by itself."""


def _counted(what: str, table: str, condition: str = "true") -> str:
    rows = f"SELECT FROM {table} WHERE {condition} LIMIT {_MANY}"
    return f"SELECT json_build_object('count', '{what}', 'rows', count(*)) FROM ({rows}) t"


def _encrypted(table: str, name: str, value: str, flag: str) -> str:
    return (
        f"SELECT json_build_object('secret', '{table} ' || {name}, 'token', {value}) FROM {table}"
        f" WHERE {flag} AND {value} LIKE 'gAAAA%' ORDER BY {name} LIMIT {_SECRETS}"
    )


_OF_TABLES = (
    ("alembic_version", "SELECT json_build_object('revision', version_num) FROM alembic_version"),
    ("dag_run", _counted("runs", "dag_run", "dag_id <> 'verify_workers'")),
    ("variable", _counted("variables", "variable")),
    ("slot_pool", _counted("pools", "slot_pool", "pool <> 'default_pool'")),
    ("ab_user", _counted("logins", "ab_user")),
    ("users", _counted("logins", "users")),
    ("connection", _encrypted("connection", "conn_id", "password", "is_encrypted")),
    ("connection", _encrypted("connection", "conn_id", "extra", "is_extra_encrypted")),
    ("variable", _encrypted("variable", "key", "val", "is_encrypted")),
    (
        "job",
        "SELECT json_build_object('job', job_type, 'host', hostname, 'user', unixname,"
        " 'age', round(extract(epoch FROM now()) - extract(epoch FROM latest_heartbeat)))"
        " FROM job WHERE state = 'running' AND job_type IN"
        " ('SchedulerJob', 'DagProcessorJob', 'TriggererJob')",
    ),
)
_TABLES = """
SELECT json_build_object('count', 'tables', 'rows', count(*)) FROM pg_class c
WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
"""


def _literal(sql: str) -> str:
    return "'" + sql.replace("'", "''") + "'"


_ROWS = ", ".join(f"({_literal(table)}, {_literal(sql)})" for table, sql in _OF_TABLES)
_CONNECTIONS = [
    _literal(_counted("connections", "connection", f"NOT ({each})"))
    for each in ("false", _EXAMPLES)
]

PATIENCE = ("SET lock_timeout = '10s'", "SET statement_timeout = '30s'")
"""What comes before them: a migration may hold a table for long."""
DIRECT = (
    "SELECT json_build_object('server', current_setting('server_version_num')::int / 10000)",
    _TABLES,
)
"""Questions that every database can answer."""
DERIVED = (
    f"SELECT sql FROM (VALUES {_ROWS}) q(name, sql) WHERE to_regclass(name) IS NOT NULL",
    f"SELECT CASE WHEN to_regclass('chart') IS NULL THEN {_CONNECTIONS[0]} ELSE {_CONNECTIONS[1]}"
    " END WHERE to_regclass('connection') IS NOT NULL",
)
"""Those whose answers are the questions about the tables that there are."""


@dataclass(frozen=True)
class Job:
    """A process of Airflow that has told the database that it runs."""

    kind: str
    host: str
    user: str
    age: int
    """Seconds since its last heartbeat."""

    def __str__(self) -> str:
        what = self.kind.removesuffix("Job")
        return f"{what} on {self.host} of user {self.user}, heartbeat {max(self.age, 0)} s ago"


@dataclass(frozen=True)
class Stored:
    """What a database holds, as far as somebody could lose it."""

    server: int = 0
    """PostgreSQL's major version."""
    tables: int = 0
    revisions: tuple[str, ...] = ()
    """Where Airflow's migrations stand."""
    rows: tuple[tuple[str, int], ...] = ()
    """Runs, connections, variables, pools and logins, up to 100,000 of each."""
    jobs: tuple[Job, ...] = ()
    """Schedulers, DAG processors and triggerers that are alive."""
    secrets: tuple[tuple[str, str], ...] = ()
    """Pairs of what is encrypted and its Fernet token."""

    @property
    def airflow(self) -> bool:
        """Whether it has tables of Airflow, if only those of an incomplete schema."""
        return bool(self.revisions) or {"runs", "connections"} <= dict(self.rows).keys()

    @property
    def used(self) -> bool:
        """Whether there are rows that Airflow does not create by itself."""
        return self.airflow and any(number for what, number in self.rows if what != "logins")

    @property
    def schema(self) -> str:
        """Which Airflow has made its schema, in words."""
        return schemas.describe(self.revisions)

    @property
    def release(self) -> str:
        """The newest release with this schema, or the first that knows it; empty when none does."""
        known = schemas.releases_at(self.revisions)
        first = [schemas.first_with(revision) for revision in self.revisions]
        return known[-1] if known else max(filter(None, first), key=Version, default="")

    def __str__(self) -> str:
        counted = [f"{n} {what[:-1] if n == 1 else what}" for what, n in self.rows if n]
        return ", ".join([self.schema, *counted])

    def locked(self, keys: str) -> list[str]:
        """Return the names of secrets that none of the comma-separated Fernet ``keys`` decrypts."""
        opener = MultiFernet([Fernet(key) for key in keys.split(",")])
        return [name for name, token in self.secrets if not _opens(opener, token)]

    def age(self, version: str) -> schemas.Age:
        """Return how old its schema is, compared with release ``version``."""
        return schemas.compare(self.revisions, version)

    def older(self, version: str) -> bool:
        """Return whether release ``version`` would migrate it."""
        return bool(self.revisions) and self.age(version) == "older"

    def no_way(self, version: str) -> str | None:
        """Return why this can't become the database of release ``version``, if it can't."""
        if not self.revisions or self.age(version) == "same":
            return None
        if not self.release or self.age(version) == "unknown":
            return "this package does not know its schema"
        return no_way(self.release, version)


def _opens(opener: MultiFernet, token: str) -> bool:
    try:
        opener.decrypt(token.encode())
    except InvalidToken:
        return False
    return True


def read(lines: Iterable[str]) -> Stored:
    """Combine answers that are lines of JSON."""
    return together([json.loads(line) for line in lines])


def together(answers: Sequence[dict[str, Any]]) -> Stored:
    """Combine answers."""
    rows = {each["count"]: int(each["rows"]) for each in answers if "count" in each}
    jobs = [
        Job(each["job"], str(each["host"]), str(each["user"]), int(each["age"]))
        for each in answers
        if "job" in each and each["age"] is not None
    ]
    return Stored(
        server=max((int(each["server"]) for each in answers if "server" in each), default=0),
        tables=rows.pop("tables", 0),
        revisions=tuple(sorted(each["revision"] for each in answers if "revision" in each)),
        rows=tuple(sorted(rows.items())),
        jobs=tuple(job for job in jobs if job.age < _ALIVE),
        secrets=tuple((each["secret"], each["token"]) for each in answers if "secret" in each),
    )
