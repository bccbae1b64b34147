"""Bring an administrator's login of the RBAC UI to what is asked: login_1_10.py NAME EMAIL.

The password comes on standard input.
"""

import sys

from airflow.www_rbac.app import cached_appbuilder
from werkzeug.security import generate_password_hash

name, email = sys.argv[1:3]
password = sys.stdin.readline().rstrip("\n")
manager = cached_appbuilder().sm
session = manager.get_session
user = manager.find_user(username=name)
if user is None:
    user = manager.user_model(username=name, first_name="Airflow", last_name="Administrator")
    session.add(user)
user.email = email
user.active = True
user.password = generate_password_hash(password)
user.roles = list({manager.find_role("Admin"), *user.roles})
session.commit()
