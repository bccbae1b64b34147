"""Objects kept in code, as an inventory declares them, and what is seen of them."""

import json
import shlex
from pathlib import Path
from typing import Any

from tests.support.hosts import Host

SECRETS = {
    "connection": "conn p@ss/w:rd%1",
    "extra": "extra-t0ken-of-a-connection",
    "variable": "variable-that-nobody-sees",
    "login": "ann's p@ss: w0rd",
}
KINDS = ("roles", "users", "pools", "connections", "variables")
STEPS = [f"Objects | Bring the {kind} up to date" for kind in KINDS]


def declared(folder: Path, *, roles: bool) -> dict[str, Any]:
    """Give the settings of some objects; those of connections are in a file."""
    file = folder / "connections.json"
    mart = {
        "conn_type": "postgres",
        "host": "mart.example",
        "login": "etl",
        "password": SECRETS["connection"],
        "schema": "mart",
        "port": 5433,
        "extra": {"sslmode": "require", "token": SECRETS["extra"]},
    }
    file.write_text(json.dumps({"mart": mart, "lake": "http://reader:open-sesame@lake.example:81"}))
    ann = {"email": "ann@example.com", "password": SECRETS["login"]}
    objects: dict[str, Any] = {
        "airflow_connections": str(file),
        "airflow_variables": {"token": SECRETS["variable"], "limits": {"rows": [1, 2]}},
        "airflow_pools": {"narrow": 2, "wide": {"slots": 32, "description": "for all"}},
        "airflow_users": {"ann": ann},
    }
    if roles:
        ann |= {"first_name": "Ann", "last_name": "Other", "roles": "Analyst"}
        may = ["can_read on DAGs", "can_read on DAG Runs", "can_read on DAG:failing"]
        objects["airflow_roles"] = {"Analyst": may}
    return objects


def sql(host: Host, query: str) -> list[list[str]]:
    """Ask the metadata database, as PostgreSQL's superuser."""
    answer = host.ssh("cd / && runuser -u postgres -- psql airflow -XqAt -F '|'", input=query)
    return [line.split("|") for line in answer.stdout.splitlines()]


def opened(host: Host) -> dict[str, Any]:
    """Read the connections and variables by Airflow itself, as a DAG does."""
    script = (
        "import json\n"
        "from airflow.models import Connection, Variable\n"
        "from airflow.settings import Session\n"
        "rows = Session().query(Connection)\n"
        "found = {c.conn_id: [c.conn_type, c.host, c.login, c.password, c.schema, c.port, c.extra]"
        " for c in rows}\n"
        "found.update((v.key, v.get_val()) for v in Session().query(Variable))\n"
        "print(json.dumps(found))\n"
    )
    answer = host.ssh(f"/opt/airflow/bin/as-airflow python -c {shlex.quote(script)} 2>/dev/null")
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def check(host: Host) -> None:
    """See that connections, variables and pools are what is declared, and secrets encrypted."""
    found = opened(host)
    *plain, extra = found["mart"]
    assert plain == ["postgres", "mart.example", "etl", SECRETS["connection"], "mart", 5433]
    assert json.loads(extra) == {"sslmode": "require", "token": SECRETS["extra"]}
    assert found["lake"][:6] == ["http", "lake.example", "reader", "open-sesame", None, 81]
    assert found["token"] == SECRETS["variable"]
    assert json.loads(found["limits"]) == {"rows": [1, 2]}
    pools = sql(host, "SELECT pool, slots, description FROM slot_pool ORDER BY pool")
    assert [row for row in pools if row[0] != "default_pool"] == [
        ["narrow", "2", ""],
        ["wide", "32", "for all"],
    ]
    stored = sql(host, "SELECT password, extra FROM connection; SELECT val FROM variable")
    assert [name for name, value in SECRETS.items() if value in str(stored)] == []


DRIFT = """
UPDATE connection SET host = 'other.example', port = 1 WHERE conn_id = 'mart';
UPDATE connection SET password = 'x' WHERE conn_id = 'lake';
DELETE FROM variable WHERE key = 'limits';
UPDATE slot_pool SET slots = 0 WHERE pool = 'wide';
"""
ROLE_DRIFT = """
UPDATE ab_user SET email = 'x@example.com', password = 'x', active = false WHERE username = 'ann';
DELETE FROM ab_permission_view_role WHERE role_id = (SELECT id FROM ab_role WHERE name = 'Analyst');
"""
