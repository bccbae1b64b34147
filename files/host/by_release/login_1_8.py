"""Bring an administrator's login of password_auth to what is asked: login_1_8.py NAME EMAIL.

The password comes on standard input.
"""

import sys

from airflow import models, settings
from airflow.contrib.auth.backends.password_auth import PasswordUser

name, email = sys.argv[1:3]
password = sys.stdin.readline().rstrip("\n").decode("utf-8")  # type: ignore[union-attr]
session = settings.Session()
user = session.query(PasswordUser).filter(PasswordUser.username == name).first()
if user is None:
    user = PasswordUser(models.User())
    user.username = name
    session.add(user)
user.email = email
user._set_password = password
session.commit()
session.close()
