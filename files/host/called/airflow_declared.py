"""What follows from declared objects and those that Airflow has: decided without Airflow."""

import difflib
import json
import sys

CONNECTION = ("conn_type", "host", "login", "password", "schema", "port", "extra")


def compared(wanted, have, changed, removes, kept):
    """Return added, changed or removed -> names; ``kept`` are never removed."""
    gone = set(have) - set(wanted) - set(kept) if removes else ()
    return {
        "added": sorted(set(wanted) - set(have)),
        "changed": sorted(changed),
        "removed": sorted(gone),
    }


def connection(wanted, parsed=None):
    """Return the content of a connection, from what is declared or from its ``parsed`` URI."""
    content = {name: getattr(parsed, name) if parsed else wanted.get(name) for name in CONNECTION}
    content.update((name, wanted[name]) for name in ("description",) if name in wanted)
    return {name: value or None for name, value in content.items()}


def meaning(content):
    """Take the extra for what it says, however it is written."""
    try:
        return dict(content, extra=json.loads(content["extra"] or "null"))
    except ValueError:
        return content


def of_dag(permission, by_dag_name):
    """Return whether a permission is one about a single DAG, which DAGs give themselves."""
    action, _, resource = permission.partition(" on ")
    if by_dag_name:
        return action in ("can dag read", "can dag edit") and resource != "all_dags"
    return resource.startswith(("DAG:", "DAG Run:"))


def only_declared(permissions, wanted, stays, by_dag_name):
    """Return those of ``permissions`` that only a declaration gives; ``stays`` are everybody's."""
    free = set(stays) - set(wanted)
    return {
        permission
        for permission in permissions
        if permission not in free and (permission in wanted or not of_dag(permission, by_dag_name))
    }


def known(name, among, what):
    """Return what Airflow has by this name, or end with a sentence that has the nearest one."""
    if name not in among:
        near = difflib.get_close_matches(name, among, n=1)
        hint = "did you mean {}?".format(near[0]) if near else "see the web UI's list"
        sys.exit("Airflow has no {} {}: {}".format(what, name, hint))
    return among[name]
