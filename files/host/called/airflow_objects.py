"""Compare the objects that are declared with those that Airflow has, or bring a kind up to date:

    airflow_objects.py compare KIND...
    airflow_objects.py KIND

A kind is connections, variables, pools, users or roles. On standard input is JSON: kind -> name ->
content, beside "remove", the kinds of which nothing else may be left, "administrator", a login that
always is, and "roles_known". To compare prints KIND -> added, changed or removed -> names, as JSON
in the last line. Values are never printed.
"""

from __future__ import print_function

import json
import os
import subprocess
import sys

from airflow import models, settings
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from airflow_declared import compared, connection, known, meaning, of_dag, only_declared
from airflow_probe import matches

BUILT_IN = ("Admin", "Op", "Public", "User", "Viewer")
TEXT = type(json.loads('""'))


class Kind(object):
    """How objects of one kind are read, compared and written."""

    key = ""
    """The column that has the objects' names."""
    kept = ()  # type: tuple
    """Names that are never removed."""

    def __init__(self, model):
        self.model = model

    def numbers(self):
        """Return name -> the numbers of its rows: Airflow 1 may have several connections of one."""
        found = {}  # type: dict[str, list[int]]
        query = settings.Session().query(self.model.id, getattr(self.model, self.key))
        for number, name in query.filter(getattr(self.model, self.key).isnot(None)):
            found.setdefault(name, []).append(number)
        return found

    def row(self, number):
        """Return a row, or None where Airflow can't load it: its secret is of another key."""
        try:
            return settings.Session().query(self.model).filter(self.model.id == number).one()
        except SQLAlchemyError:
            raise
        except Exception:
            return None

    def new(self, name):
        return self.model(**{self.key: name})

    def drop(self, number):
        row = self.row(number)
        if row:
            settings.Session().delete(row)
        else:
            query = settings.Session().query(self.model).filter(self.model.id == number)
            query.delete(synchronize_session=False)


class Connections(Kind):
    """A connection is what is declared, and nothing more; only a description stays."""

    key = "conn_id"

    def content(self, wanted):
        return connection(wanted, self.model(uri=wanted["uri"]) if "uri" in wanted else None)

    def same(self, row, wanted):
        content = self.content(wanted)
        have = {name: getattr(row, name) or None for name in content}
        return meaning(have) == meaning(content)

    def fill(self, row, wanted):
        for name, value in self.content(wanted).items():
            setattr(row, name, value)
            # Airflow leaves a secret as it was when it is to be none.
            if name == "password" and value is None:
                row._password, row.is_encrypted = None, False
            if name == "extra" and value is None:
                row._extra, row.is_extra_encrypted = None, False


class Variables(Kind):
    key = "key"

    def same(self, row, wanted):
        have = row.get_val()
        return have == wanted if isinstance(wanted, TEXT) else json.loads(have) == wanted

    def fill(self, row, wanted):
        text = wanted if isinstance(wanted, TEXT) else json.dumps(wanted, indent=2)
        row.set_val(text)
        if not text:  # which Airflow 1 does not write
            row._val, row.is_encrypted = text, False


class Pools(Kind):
    key = "pool"
    kept = ("default_pool",)

    def same(self, row, wanted):
        return all(getattr(row, name) == value for name, value in wanted.items())

    def fill(self, row, wanted):
        if row.id is None and hasattr(self.model, "include_deferred"):
            row.include_deferred = False
        for name, value in wanted.items():
            setattr(row, name, value)


class PasswordUsers(Kind):
    """Logins of Airflow 1.8, which knows no roles."""

    key = "username"

    def __init__(self):
        from airflow.contrib.auth.backends.password_auth import PasswordUser

        Kind.__init__(self, PasswordUser)

    def new(self, name):
        user = self.model(models.User())
        user.username = name
        return user

    def same(self, row, wanted):
        return row.email == wanted["email"] and has_password(row, wanted)

    def fill(self, row, wanted):
        row.email = wanted["email"]
        if not has_password(row, wanted):
            row._set_password = wanted["password"]


class Users(Kind):
    """Logins of the UI with roles; what is not declared of one stays."""

    key = "username"

    def __init__(self):
        self.security = Security()
        Kind.__init__(self, self.security.User)

    def new(self, name):
        return self.model(username=name, first_name=name, last_name="")

    def same(self, row, wanted):
        plain = all(getattr(row, name) == wanted[name] for name in self.plain(wanted))
        roles = {role.name for role in row.roles} == set(wanted["roles"])
        return plain and roles and row.active and has_password(row, wanted)

    def plain(self, wanted):
        return [name for name in ("email", "first_name", "last_name") if name in wanted]

    def fill(self, row, wanted):
        from werkzeug.security import generate_password_hash

        for name in self.plain(wanted):
            setattr(row, name, wanted[name])
        row.active = True
        if not has_password(row, wanted):
            row.password = generate_password_hash(wanted["password"])
        roles = {role.name: role for role in settings.Session().query(self.security.Role)}
        row.roles = [known(name, roles, "role") for name in wanted["roles"]]


def has_password(user, wanted):
    password = wanted.get("password")
    if password is None:
        return True
    return bool(user.password) and matches(password.encode("utf-8"), user.password)


class Roles(Kind):
    """A role may what is declared, what Airflow gives to every role, and what DAGs give to it."""

    key = "name"
    kept = BUILT_IN

    def __init__(self):
        self.security = Security()
        Kind.__init__(self, self.security.Role)

    def stays(self):
        """Return the permissions that Airflow gives to every role when its web server starts."""
        if not self.security.by_dag_name:
            return {"can read on Website"}
        query = settings.Session().query(self.model).filter(self.model.name == "User")
        return {str(each) for user in query for each in user.permissions}

    def ours(self, permissions, wanted):
        """Return those of ``permissions`` that only a declaration gives."""
        return only_declared(permissions, wanted, self.stays(), self.security.by_dag_name)

    def same(self, row, wanted):
        return self.ours([str(each) for each in row.permissions], wanted) == set(wanted)

    def fill(self, row, wanted):
        have = {str(each): each for each in row.permissions}
        ours = self.ours(have, wanted)
        row.permissions = [each for text, each in have.items() if text not in ours] + [
            have.get(text) or self.permission(text) for text in sorted(set(wanted))
        ]

    def permission(self, text):
        """Find a permission; that of a DAG may be made before the DAG is read."""
        session = settings.Session()
        permissions = {str(each): each for each in session.query(self.security.Permission)}
        of_one_dag = of_dag(text, self.security.by_dag_name)
        if text not in permissions and not of_one_dag:
            # Airflow 2 makes them at the first start of its web server, which may be yet to come.
            self.security.synchronise()
            permissions = {str(each): each for each in session.query(self.security.Permission)}
        if text in permissions or not of_one_dag:
            return known(text, permissions, "permission")
        action, _, resource = text.partition(" on ")
        every = session.query(self.security.Action)
        actions = {each.name.replace("_", " "): each for each in every}
        resources = {each.name: each for each in session.query(self.security.Resource)}
        made = self.security.permission(
            known(action, actions, "action"),
            resources.get(resource) or self.security.Resource(name=resource),
        )
        session.add(made)
        session.flush()
        return made


class Security(object):
    """The models of logins and roles, by the names of Airflow 2 and 3."""

    def __init__(self):
        try:
            from airflow.providers.fab.auth_manager.models import (
                Action,
                Permission,
                Resource,
                Role,
                User,
            )

            self.by_dag_name = False
            self.permission = lambda action, resource: Permission(action=action, resource=resource)
        except ImportError:
            from flask_appbuilder.security.sqla.models import Permission as Action
            from flask_appbuilder.security.sqla.models import PermissionView as Permission
            from flask_appbuilder.security.sqla.models import Role, User
            from flask_appbuilder.security.sqla.models import ViewMenu as Resource

            # Airflow 1.10 calls a DAG's resource by its bare name.
            self.by_dag_name = True
            self.permission = lambda action, resource: Permission(
                permission=action, view_menu=resource
            )
        self.Action, self.Permission, self.Resource = Action, Permission, Resource
        self.Role, self.User = Role, User

    def synchronise(self):
        """Have Airflow make all of its permissions, as its web server does."""
        command = "sync_perm" if self.by_dag_name else "sync-perm"
        with open(os.devnull, "w") as nowhere:
            subprocess.check_call(["airflow", command], stdout=nowhere, stderr=nowhere)


def handler(kind, declared):
    made = {
        "connections": lambda: Connections(models.Connection),
        "variables": lambda: Variables(models.Variable),
        "pools": lambda: Pools(models.Pool),
        "users": Users if declared["roles_known"] else PasswordUsers,
        "roles": Roles,
    }
    handled = made[kind]()
    if kind == "users":
        handled.kept = (declared["administrator"],)
    return handled


def compare(kind, declared):
    """Return the handler of a kind, its rows' numbers by name, and the names of what differs."""
    handled, wanted = handler(kind, declared), declared[kind]
    have = handled.numbers()
    changed = [
        name
        for name in wanted
        if not all(same(handled, number, wanted[name]) for number in have.get(name, ()))
    ]
    removes = kind in declared["remove"]
    return handled, have, compared(wanted, have, changed, removes, handled.kept)


def same(handled, number, wanted):
    row = handled.row(number)
    try:
        return row is not None and handled.same(row, wanted)
    except SQLAlchemyError:
        raise
    except Exception:  # a value that is no JSON, a secret that is not encrypted as it says, ...
        return False


def difference(kind, declared):
    try:
        return compare(kind, declared)[2]
    except (ImportError, ProgrammingError):  # an older release, or no schema yet
        settings.Session().rollback()
        return compared(declared[kind], (), (), removes=False, kept=())


def bring(kind, declared):
    session = settings.Session()
    handled, have, found = compare(kind, declared)
    for name in found["changed"]:
        for number in have[name]:
            row = handled.row(number)
            if row is None:
                handled.drop(number)
                row = handled.new(name)
            fill(handled, row, name, declared[kind])
            session.add(row)
    for name in found["added"]:
        row = handled.new(name)
        fill(handled, row, name, declared[kind])
        session.add(row)
    for name in found["removed"]:
        for number in have[name]:
            handled.drop(number)
    session.commit()


def fill(handled, row, name, wanted):
    try:
        handled.fill(row, wanted[name])
    except SQLAlchemyError:
        raise
    except Exception as error:  # whose text could have a value
        sys.exit("{} can't be used: {}".format(name, type(error).__name__))


def main(what, *kinds):
    declared = json.load(sys.stdin)
    try:
        if what == "compare":
            print(json.dumps({kind: difference(kind, declared) for kind in kinds}))
        else:
            bring(what, declared)
    except SQLAlchemyError as error:  # the text of which has the values
        reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
        sys.exit("the {} can't be brought up to date: {}".format(what, reason))


if __name__ == "__main__":
    main(*sys.argv[1:])
