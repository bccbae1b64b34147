"""Files of this machine about logins and secrets."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from .configuration import Configuration
from .types import PrintablePath


def _is_python(value: Path) -> Path:
    try:
        ast.parse(value.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from None
    except OSError as error:
        raise ValueError(f"it can't be read: {error.strerror}") from None
    return value


class Controller(Configuration):
    """Files of this machine about logins and secrets."""

    airflow_webserver_config: Annotated[Path, AfterValidator(_is_python)] | None = None
    """The web server's webserver_config.py on the controller, for LDAP or OAuth."""
    airflow_secrets_file: PrintablePath | None = None
    """File of the generated secrets; default: `.secrets/<inventory>.json` next to the inventory."""


def _unfit_webserver_config(controller: Controller) -> str | None:
    if controller.airflow_webserver_config is None:
        return None
    if "webserver_config.py" in controller.release.lacks:
        return (
            f"airflow_webserver_config: Airflow {controller.airflow_version} has no"
            " webserver_config.py: leave it out"
        )
    if "webserver_config.py's database" in controller.release.lacks:
        text = controller.airflow_webserver_config.read_text(encoding="utf-8")
        if "SQLALCHEMY_DATABASE_URI" not in text:
            return (
                f"airflow_webserver_config: the web server of Airflow {controller.airflow_version}"
                ' knows its database from there only: add "from airflow.configuration import'
                " conf\" and \"SQLALCHEMY_DATABASE_URI = conf.get('core', 'SQL_ALCHEMY_CONN')\""
            )
    for section in ("fab", "webserver"):
        if "config_file" in controller.airflow_config.get(section, {}):
            return (
                f"airflow_config sets [{section}] config_file: set airflow_webserver_config instead"
            )
    return None


CHECKS = (_unfit_webserver_config,)
