"""What Airflow reads: airflow.cfg and the environment. Pure: Settings in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from pydantic import SecretStr

from .settings import ENVIRONMENT, LOGS, Scalar, Settings, SettingsError

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
        "PATH": f"{ENVIRONMENT}/current/bin:{_SYSTEM_PATH}",
        "PYTHONPATH": f"{ENVIRONMENT}/lib",
        # Airflow 1.8 compares local times of several processes.
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "PYTHONIOENCODING": "utf-8",
        "FLOWER_ADDRESS": settings.airflow_flower_host,
        "FLOWER_PORT": str(settings.airflow_flower_port),
    }


def secret_environment(settings: Settings) -> dict[str, str]:
    """Give the part of the environment that holds secrets."""
    login = f"{settings.airflow_admin_user}:{settings.secret('airflow_admin_password')}"
    variables = {
        f"AIRFLOW__{section.upper()}__{key.upper()}": value
        for section, keys in _split(settings)[1].items()
        for key, value in keys.items()
    }
    return {**variables, "FLOWER_BASIC_AUTH": login}


def environment_file(variables: Mapping[str, str]) -> str:
    """Write an environment file that systemd and a shell read alike."""
    return "".join(f'{name}="{_shell_escaped(value)}"\n' for name, value in variables.items())


def _split(settings: Settings) -> tuple[Sections, Sections]:
    """Part every value of airflow.cfg into the open ones and the secret ones."""
    shown: Sections = {}
    hidden: Sections = {}
    for section, key, value in _values(settings):
        secret = isinstance(value, SecretStr) or (section, key) in settings.release.sensitive
        (hidden if secret else shown).setdefault(section, {})[key] = _text(value)
    return shown, hidden


def _values(settings: Settings) -> list[tuple[str, str, Scalar]]:
    """List (section, key, value), each key once: the last source that sets it wins."""
    release = settings.release
    merged: dict[tuple[str, str], Scalar] = {
        release.keys[name]: value
        for name, value in _meanings(settings).items()
        if name in release.keys
    }
    for source in (release.defaults, settings.airflow_config):
        for section, keys in source.items():
            merged.update({(section, key): value for key, value in keys.items()})
    return [(section, key, value) for (section, key), value in merged.items()]


def _meanings(settings: Settings) -> dict[str, Scalar]:
    """Give each value by what it means; the release knows the names."""
    home = settings.airflow_home
    return {
        "home": home,
        "dags": f"{home}/dags",
        "plugins": f"{home}/plugins",
        "logs": LOGS,
        "executor": "CeleryExecutor",
        "load_examples": False,
        "database_url": _database(settings, settings.release.database_url),
        "fernet_key": settings.secret("airflow_fernet_key"),
        "base_url": base_url(settings),
        "web_host": settings.airflow_web_host,
        "web_port": settings.airflow_web_port,
        "web_workers": settings.airflow_web_workers,
        "secret_key": settings.secret("airflow_secret_key"),
        "broker_url": _broker(settings),
        "result_backend": _database(settings, settings.release.result_backend),
        "worker_concurrency": settings.airflow_worker_concurrency,
        "worker_log_port": settings.airflow_worker_log_port,
        "default_queue": settings.airflow_default_queue,
        "parser_logs": f"{LOGS}/scheduler",
    }


def base_url(settings: Settings) -> str:
    """Give the URL of the web UI, as links name it."""
    address = settings.airflow_address or "localhost"
    return settings.airflow_base_url or f"http://{address}:{settings.airflow_web_port}"


def _database(settings: Settings, form: str) -> str:
    return form.format(
        user=settings.postgresql_user,
        password=quote(settings.secret("postgresql_password"), safe=""),
        host=_known(settings, "postgresql"),
        port=settings.postgresql_port,
        database=settings.postgresql_database,
    )


def _broker(settings: Settings) -> str:
    return settings.release.broker_url.format(
        user=quote(settings.rabbitmq_user, safe=""),
        password=quote(settings.secret("rabbitmq_password"), safe=""),
        host=_known(settings, "rabbitmq"),
        port=settings.rabbitmq_port,
        vhost=quote(settings.rabbitmq_vhost, safe=""),
    )


def _known(settings: Settings, part: str) -> str:
    address: str | None = getattr(settings, f"{part}_host")
    if address is None:
        raise SettingsError(f"no host runs {part}: put one in the group {part}, or set {part}_host")
    return f"[{address}]" if ":" in address else address


def _text(value: Scalar) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _escaped(settings: Settings, value: str) -> str:
    return value.replace("%", "%%") if settings.release.escapes_percent else value


def _shell_escaped(value: str) -> str:
    for character in '\\"$`':
        value = value.replace(character, f"\\{character}")
    return value
