"""An authentication backend for Airflow's experimental API that lets nobody in."""

from functools import wraps

from flask import Response

client_auth = None


def init_app(app):
    """Need nothing of the application."""


def requires_authentication(function):
    """Answer 403 in place of ``function``."""

    @wraps(function)
    def refuse(*args, **kwargs):
        return Response("Forbidden", 403)

    return refuse
