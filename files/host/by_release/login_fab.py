"""Bring an administrator's login of FAB to what is asked: login_fab.py NAME EMAIL.

The password comes on standard input.
"""

import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from werkzeug.security import generate_password_hash

name, email = sys.argv[1:3]
password = sys.stdin.readline().rstrip("\n")
with get_application_builder() as builder:
    manager = builder.sm
    admin = manager.find_role("Admin")
    user = manager.find_user(username=name)
    if user is None:
        user = manager.add_user(name, "Airflow", "Administrator", email, admin, password=password)
        if not user:
            sys.exit("the login {} could not be created".format(name))
    else:
        user.email = email
        user.active = True
        user.roles = list({admin, *user.roles})
        user.password = generate_password_hash(password)
        if manager.update_user(user) is False:  # it logs the reason and goes on
            sys.exit("the login {} could not be changed".format(name))
