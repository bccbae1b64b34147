"""Look at a database and a broker that are not ours, or make there what is missing:

    airflow_servers.py look
    airflow_servers.py make

Standard input is JSON: server -> what is wanted there and the logins. Prints JSON: server -> what
is missing -> why; no secret is in it. Runs under every Python that an Airflow runs on, without
importing it.
"""

from __future__ import print_function

import json
import os
import ssl
import sys

from airflow_sql import connect

try:
    from urllib.error import HTTPError
    from urllib.parse import quote
    from urllib.request import Request, urlopen
except ImportError:  # Python 2
    from urllib import quote  # type: ignore[attr-defined]

    from urllib2 import HTTPError, Request, urlopen

PATIENCE = 10
"""Seconds for a server to answer, which may be far away."""


def databases(wanted):
    """Return why a role can't come into its database, for each that can't."""
    found = {}
    for each in wanted["databases"]:
        why = refused(each["url"])
        if why:
            found["database " + each["database"]] = why
    return found


def refused(url):
    import psycopg2

    try:
        connect(url, PATIENCE).close()
    except psycopg2.OperationalError as error:
        return str(error).strip().splitlines()[-1]
    return ""


def make_databases(wanted):
    """Make roles and databases that are not there; one that is there is left as it is."""
    connection = connect(wanted["admin"], PATIENCE)
    connection.autocommit = True
    cursor = connection.cursor()
    for each in wanted["databases"]:
        names = {key: '"{}"'.format(each[key]) for key in ("role", "database")}
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [each["role"]])
        if not cursor.rowcount:
            create = "CREATE ROLE {role} LOGIN PASSWORD %s".format(**names)
            cursor.execute(create, [each["verifier"]])
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [each["database"]])
        if not cursor.rowcount:
            # Who is no superuser must belong to a role to give it a database.
            cursor.execute("SELECT pg_has_role(%s, 'MEMBER')", [each["role"]])
            lent = not cursor.fetchone()[0]
            if lent:
                cursor.execute("GRANT {role} TO CURRENT_USER".format(**names))
            cursor.execute(
                "CREATE DATABASE {database} OWNER {role} ENCODING 'UTF8' TEMPLATE template0".format(
                    **names
                )
            )
            if lent:
                cursor.execute("REVOKE {role} FROM CURRENT_USER".format(**names))
    connection.close()


def broker(wanted):
    """Return why the broker does not let Airflow in, if it does not."""
    from kombu import Connection

    connection = Connection(wanted["url"], connect_timeout=PATIENCE, ssl=wanted["ssl"] or False)
    try:
        connection.connect()
        connection.channel()
    except Exception as error:  # every broker and the network have kinds of their own
        return {wanted["what"]: "{}: {}".format(type(error).__name__, error)}
    finally:
        connection.release()
    return {}


def make_broker(wanted):
    """Make a virtual host and a user at RabbitMQ, by its management's HTTP API."""
    vhost, user = (quote(wanted[key], safe="") for key in ("vhost", "user"))
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    if not there(wanted, "vhosts/" + vhost):
        put(wanted, "vhosts/" + vhost, {})
    if not there(wanted, "users/" + user):
        put(wanted, "users/" + user, {"password_hash": wanted["hash"], "tags": ""})
    put(wanted, "permissions/{}/{}".format(vhost, user), everything)


def there(wanted, path):
    try:
        return ask(wanted, path).getcode() == 200
    except HTTPError as error:
        if error.code == 404:
            return False
        raise


def put(wanted, path, content):
    ask(wanted, path, data=json.dumps(content).encode("ascii"))


def ask(wanted, path, data=None):
    request = Request(wanted["admin"] + "/api/" + path, data=data)
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", wanted["authorization"])
    verb = "PUT" if data is not None else "GET"
    request.get_method = lambda: verb  # type: ignore[method-assign]
    return urlopen(request, timeout=30, context=ssl.create_default_context(cafile=wanted["ca"]))


LOOKS = {"postgresql": databases, "rabbitmq": broker, "redis": broker}
MAKES = {"postgresql": make_databases, "rabbitmq": make_broker}


def make(server, wanted):
    try:
        MAKES[server](wanted)
    except Exception as error:  # an HTTP API and a database have kinds of their own
        sys.exit("{}_admin_url can't make what is missing: {}".format(server, error))


def look(wanted):
    """Return what is missing; a server whose CA file a run is yet to bring is taken to be ready."""
    asked = [server for server in wanted if os.path.exists(wanted[server]["ca"])]
    found = {server: LOOKS[server](wanted[server]) for server in asked}
    return {server: found[server] for server in found if found[server]}


def main(word):
    wanted = json.load(sys.stdin)
    missing = look(wanted)
    if word == "make":
        for server in sorted(set(missing) & set(MAKES)):
            if wanted[server]["admin"]:
                make(server, wanted[server])
        missing = look(wanted)
        if missing:
            sys.exit(refusal(missing))
    print(json.dumps(missing))


def refusal(missing):
    """Return the sentence about what is missing still: server -> what -> why."""
    pairs = sorted(pair for each in missing.values() for pair in each.items())
    why = "; ".join("{}: {}".format(*pair) for pair in pairs)
    return "what is there stays as it is, and does not let Airflow in: " + why


if __name__ == "__main__":
    main(*sys.argv[1:])
