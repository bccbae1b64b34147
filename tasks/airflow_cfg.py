"""What Airflow reads: airflow.cfg and the environment. Pure: Settings in, text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from pydantic import SecretStr

from .addresses import bracketed, is_address, reachable
from .releases import SECRET_MEANINGS
from .settings import ENVIRONMENT, LOGS, Scalar, Settings

Sections = dict[str, dict[str, str]]
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def sections(settings: Settings) -> Sections:
    """Give airflow.cfg as section -> key -> value, without any secret."""
    return _split(settings)[0]


def render(settings: Settings) -> str:
    """Write airflow.cfg."""
    lines = ["# Managed by pyinfra-airflow: change it in the inventory (airflow_config)."]
    for section, keys in sections(settings).items():
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {_escaped(settings, value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def environment(settings: Settings) -> dict[str, str]:
    """Give the environment of every process of Airflow, without any secret."""
    return {
        "AIRFLOW_HOME": settings.airflow_home,
        "AIRFLOW_HOSTNAME": settings.topology.name,
        "PATH": f"{ENVIRONMENT}/current/bin:{_SYSTEM_PATH}",
        "PYTHONPATH": f"{ENVIRONMENT}/lib",
        # Airflow 1.8 compares local times of several processes.
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "PYTHONIOENCODING": "utf-8",
        "FLOWER_ADDRESS": settings.airflow_flower_host,
        "FLOWER_PORT": str(settings.airflow_flower_port),
        "AIRFLOW_REPORT_INTERVAL": str(settings.airflow_report_interval),
        **_set(
            AIRFLOW_REPORT_EMAIL=",".join(settings.airflow_report_email),
            FORWARDED_ALLOW_IPS=_believed(settings),
        ),
    }


def _believed(settings: Settings) -> str:
    """Say whose X-Forwarded- headers a web server takes: gunicorn and uvicorn both read it."""
    if settings.release.web not in settings.airflow_components or not settings.topology.proxies:
        return ""
    addresses = ("127.0.0.1", "::1", *settings.topology.proxies)
    # They compare addresses alone; the firewall lets nobody else to the port.
    return ",".join(addresses) if all(map(is_address, addresses)) else "*"


def secret_environment(settings: Settings) -> dict[str, str]:
    """Give the part of the environment that holds secrets."""
    login = f"{settings.airflow_admin_user}:{settings.secret('airflow_admin_password')}"
    variables = {
        f"AIRFLOW__{section.upper()}__{key.upper()}": value
        for section, keys in _split(settings)[1].items()
        for key, value in keys.items()
    }
    reports = _set(
        AIRFLOW_REPORT_WEBHOOK=settings.secret("airflow_report_webhook"),
        AIRFLOW_REPORT_COMMAND=settings.secret("airflow_report_command"),
    )
    return {**variables, "FLOWER_BASIC_AUTH": login, **reports}


def _set(**variables: str) -> dict[str, str]:
    """Leave out what is empty."""
    return {name: value for name, value in variables.items() if value}


def environment_file(variables: Mapping[str, str]) -> str:
    """Write an environment file that systemd and a shell read alike."""
    return "".join(f'{name}="{_shell_escaped(value)}"\n' for name, value in variables.items())


def _split(settings: Settings) -> tuple[Sections, Sections]:
    """Part every value of airflow.cfg into the open ones and the secret ones."""
    release = settings.release
    meant = {release.keys[name] for name in SECRET_MEANINGS if name in release.keys}
    shown: Sections = {}
    hidden: Sections = {}
    for (section, key), value in _values(settings).items():
        secret = isinstance(value, SecretStr) or (section, key) in meant | release.sensitive
        (hidden if secret else shown).setdefault(section, {})[key] = _text(value)
    return shown, hidden


def _values(settings: Settings) -> dict[tuple[str, str], Scalar]:
    """Give each (section, key) its value: the last source that sets it wins."""
    release = settings.release
    merged: dict[tuple[str, str], Scalar] = {
        key: _meanings(settings)[name]()
        for name, key in release.keys.items()
        if name not in settings.withheld
    }
    behind_proxy = release.behind_proxy if settings.topology.proxies else {}
    for source in (release.defaults, behind_proxy, settings.airflow_config):
        for section, keys in source.items():
            merged.update({(section, key): value for key, value in keys.items()})
    return merged


def _meanings(settings: Settings) -> dict[str, Callable[[], Scalar]]:
    """Give each value by what it means; the release knows the names and which it has."""
    home = settings.airflow_home
    return {
        "home": lambda: home,
        "dags": lambda: f"{home}/dags",
        "plugins": lambda: f"{home}/plugins",
        "logs": lambda: LOGS,
        "executor": lambda: "CeleryExecutor",
        "load_examples": lambda: False,
        "database_url": lambda: _database(settings, settings.release.database_url),
        "fernet_key": lambda: settings.secret("airflow_fernet_key"),
        "jwt_secret": lambda: settings.secret("airflow_jwt_secret"),
        "base_url": lambda: base_url(settings),
        "execution_url": lambda: f"{api_url(settings)}/execution/",
        "web_host": lambda: settings.airflow_web_host,
        "web_port": lambda: settings.airflow_web_port,
        "web_workers": lambda: settings.airflow_web_workers or 1,
        "secret_key": lambda: settings.secret("airflow_secret_key"),
        "broker_url": lambda: _broker(settings),
        "result_backend": lambda: _results(settings),
        "worker_concurrency": lambda: settings.airflow_worker_concurrency or 1,
        "worker_log_port": lambda: settings.airflow_worker_log_port,
        "triggerer_log_port": lambda: settings.airflow_triggerer_log_port,
        "default_queue": lambda: settings.airflow_default_queue,
        "parser_logs": lambda: f"{LOGS}/scheduler",
        "parser_manager_log": lambda: f"{LOGS}/dag_processor_manager.log",
    }


def base_url(settings: Settings) -> str:
    """Give the URL of the web UI, as links name it."""
    return settings.airflow_base_url or settings.topology.proxy_url or _web_url(settings)


def api_url(settings: Settings) -> str:
    """Give the URL of the web UI, as this host's processes reach it."""
    here = f"http://{reachable(settings.airflow_web_host)}:{settings.airflow_web_port}"
    serves = settings.release.web in settings.airflow_components
    return settings.airflow_api_url or (here if serves else _web_url(settings))


def _web_url(settings: Settings) -> str:
    address = (*settings.topology.web_hosts, "localhost")[0]
    return f"http://{bracketed(address)}:{settings.airflow_web_port}"


def _database(settings: Settings, form: str, *, part: str = "") -> str:
    return form.format(
        user=getattr(settings, f"postgresql_{part}user"),
        password=quote(settings.secret(f"postgresql_{part}password"), safe=""),
        host=bracketed(settings.server("postgresql")),
        port=settings.postgresql_port,
        database=getattr(settings, f"postgresql_{part}database"),
    )


def _results(settings: Settings) -> str:
    release = settings.release
    part = "results_" if release.results_apart else ""
    return _database(settings, release.result_backend, part=part)


def _broker(settings: Settings) -> str:
    return settings.release.broker_url.format(
        user=quote(settings.rabbitmq_user, safe=""),
        password=quote(settings.secret("rabbitmq_password"), safe=""),
        host=bracketed(settings.server("rabbitmq")),
        port=settings.rabbitmq_port,
        vhost=quote(settings.rabbitmq_vhost, safe=""),
    )


def _text(value: Scalar) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _escaped(settings: Settings, value: str) -> str:
    return value.replace("%", "%%") if settings.release.escapes_percent else value


def _shell_escaped(value: str) -> str:
    for character in '\\"$`':
        value = value.replace(character, f"\\{character}")
    return value
