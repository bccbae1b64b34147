"""Airflow's configuration files: path -> file. Pure."""

from __future__ import annotations

from ..host.files import File
from ..host.found import MARK
from ..settings import CONFIGURATION, FORMER, Settings
from . import airflow_cfg
from .python import CURRENT

# The mistake and its line, but not the text there, which may hold a secret.
_COMPILES = (
    f"{CURRENT}/bin/python -c 'import sys; sys.excepthook = lambda kind, error, trace:"
    ' print("airflow_webserver_config: %s" % error, file=sys.stderr);'
    """ compile(open(sys.argv[1], "rb").read(), "webserver_config.py", "exec")'"""
)


def configuration(settings: Settings) -> dict[str, File]:
    """Return Airflow's configuration: path -> file."""
    environment = airflow_cfg.environment_file(airflow_cfg.environment(settings))
    secret = airflow_cfg.secret_environment(settings)
    secrets = airflow_cfg.environment_file(secret)
    cfg = airflow_cfg.render(settings)
    authorities = {
        settings.ca_path(name): File(server.ca.read_text())
        for name, server in settings.servers.items()
        if server.ca
    }
    return {
        **authorities,
        f"{settings.airflow_home}/airflow.cfg": File(
            cfg,
            group="airflow",
            mode="640",
            masks=tuple(secret.values()),
            private=airflow_cfg.private,
        ),
        f"{CONFIGURATION}/airflow.env": File(environment, group="airflow", mode="640"),
        f"{CONFIGURATION}/secrets.env": File(
            secrets, group="airflow", mode="640", secret=True, former=FORMER
        ),
        **_webserver_config(settings),
    }


def _webserver_config(settings: Settings) -> dict[str, File]:
    """Return the user's webserver_config.py, for the web UI and for the commands about logins."""
    source, topology = settings.airflow_webserver_config, settings.topology
    web = settings.release.web.name in topology.components
    if source is None or not (web or topology.database_here):
        return {}
    text = source.read_text(encoding="utf-8").removesuffix("\n") + f"\n# {MARK}.\n"
    file = File(text, group="airflow", mode="640", secret=True, check=_COMPILES)
    return {webserver_config_path(settings): file}


def webserver_config_path(settings: Settings) -> str:
    """Return where Airflow looks for webserver_config.py."""
    return f"{settings.airflow_home}/webserver_config.py"
