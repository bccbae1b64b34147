"""What Airflow reads: airflow.cfg and the environment. Pure: Settings in, text out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import SecretStr

from ..addresses import bracketed, is_address, reachable
from ..catalog.model import SECRET_MEANINGS
from ..settings import ENVIRONMENT, LOGS, Database, Scalar, Settings, cfg_names

Sections = dict[str, dict[str, str]]
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def sections(settings: Settings) -> Sections:
    """Return airflow.cfg as section -> key -> value; see ``private`` for its secrets."""
    return _split(settings)[0]


def private(text: str) -> list[str]:
    """Return the values of an airflow.cfg which no variable of the environment could hold.

    Secrets are among them: they have no other place.
    """
    found, section = [], ""
    for line in text.split("\n"):
        key, equals, value = (part.strip() for part in line.partition("="))
        if line.startswith("["):
            section = line.strip()[1:-1]
        elif equals and not cfg_names.variable(section, key):
            found.append(value)
    return found


def render(settings: Settings) -> str:
    """Return airflow.cfg as text."""
    lines = ["# Managed by pyinfra-airflow: change it in the inventory (airflow_config)."]
    for section, keys in sections(settings).items():
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {_escaped(settings, value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of every process of Airflow, without any secret."""
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
        **_reports(settings),
        **_set(
            FORWARDED_ALLOW_IPS=_believed(settings),
            # Python takes a folder on its path that is not there at a process's start for none.
            AIRFLOW_DAGS_REPOSITORY=settings.dags_link if settings.airflow_dags_repository else "",
        ),
        **_server_environment(settings),
    }


def _server_environment(settings: Settings) -> dict[str, str]:
    """Return what our helpers need for encrypted connections, and past PgBouncer."""
    tls = broker_tls(settings) if settings.airflow_components else {}
    found = {"AIRFLOW_BROKER_TLS": json.dumps(tls)} if tls else {}
    if _checks_certificate(settings):
        found["AIRFLOW_DATABASE_SSLMODE"] = settings.sslmode or ""
        found["AIRFLOW_DATABASE_CA"] = settings.ca_path("postgresql")
    if settings.topology.pooled:
        found["AIRFLOW_DATABASE_PORT"] = str(settings.postgresql_port)
    return found


def _believed(settings: Settings) -> str:
    """Return whose X-Forwarded- headers a web server trusts: gunicorn and uvicorn both read it."""
    if settings.release.web not in settings.airflow_components or not settings.topology.proxies:
        return ""
    addresses = ("127.0.0.1", "::1", *settings.topology.proxies)
    # They compare addresses alone; the firewall lets nobody else to the port.
    return ",".join(addresses) if all(map(is_address, addresses)) else "*"


def secret_environment(settings: Settings) -> dict[str, str]:
    """Return the part of the environment that holds secrets."""
    login = f"{settings.airflow_admin_user}:{settings.secret('airflow_admin_password')}"
    variables = {
        cfg_names.variable(section, key): value
        for section, keys in _split(settings)[1].items()
        for key, value in keys.items()
    }
    return {**variables, "FLOWER_BASIC_AUTH": login, **_secret_reports(settings)}


def reporter_environment(settings: Settings) -> dict[str, str]:
    """Return what reports have to know on a host without airflow.cfg; it holds secrets."""
    smtp = settings.airflow_config.get("smtp", {})
    return {
        "AIRFLOW_HOSTNAME": settings.topology.name,
        **_reports(settings),
        **_secret_reports(settings),
        **{
            name: cfg_names.text(smtp[key])
            for key in smtp
            if (name := cfg_names.variable("smtp", key))
        },
    }


def _reports(settings: Settings) -> dict[str, str]:
    return {
        "AIRFLOW_REPORT_INTERVAL": str(settings.airflow_report_interval),
        **_set(AIRFLOW_REPORT_EMAIL=",".join(settings.airflow_report_email)),
    }


def _secret_reports(settings: Settings) -> dict[str, str]:
    return _set(
        AIRFLOW_REPORT_WEBHOOK=settings.secret("airflow_report_webhook"),
        AIRFLOW_REPORT_COMMAND=settings.secret("airflow_report_command"),
    )


def _set(**variables: str) -> dict[str, str]:
    """Leave out what is empty."""
    return {name: value for name, value in variables.items() if value}


def environment_file(variables: Mapping[str, str]) -> str:
    """Return an environment file that systemd and a shell read alike."""
    return "".join(f'{name}="{_shell_escaped(value)}"\n' for name, value in variables.items())


def _split(settings: Settings) -> tuple[Sections, Sections]:
    """Part all values into those of airflow.cfg and the secrets that the environment can hold.

    Airflow takes a section for missing that airflow.cfg does not name.
    """
    release = settings.release
    meant = {release.keys[name] for name in SECRET_MEANINGS if name in release.keys}
    shown: Sections = {}
    hidden: Sections = {}
    for (section, key), value in _values(settings).items():
        secret = isinstance(value, SecretStr) or (section, key) in meant | release.sensitive
        apart = secret and cfg_names.variable(section, key)
        (hidden if apart else shown).setdefault(section, {})[key] = cfg_names.text(value)
    for section in settings.airflow_config:
        shown.setdefault(section, {})
    return shown, hidden


def _values(settings: Settings) -> dict[tuple[str, str], Scalar]:
    """Return the value of each (section, key): the last source that sets it wins."""
    release = settings.release
    meanings = _meanings(settings)
    ours = {
        key: meanings[name]() for name, key in release.keys.items() if name not in settings.withheld
    }
    merged = {key: value for key, value in ours.items() if value is not None}
    behind_proxy = release.behind_proxy if settings.topology.proxies else {}
    for source in (release.defaults, behind_proxy, settings.airflow_config):
        for section, keys in source.items():
            merged.update({(section, key): value for key, value in keys.items()})
    return merged


def _meanings(settings: Settings) -> dict[str, Callable[[], Scalar | None]]:
    """Return each value by what it means, and None for one that is left to Airflow.

    The release knows the names and which it has.
    """
    home, statsd = settings.airflow_home, settings.topology.statsd
    pooled = settings.topology.pooled
    return {
        "home": lambda: home,
        "dags": lambda: f"{home}/dags",
        "plugins": lambda: f"{home}/plugins",
        "logs": lambda: LOGS,
        "executor": lambda: "CeleryExecutor",
        "load_examples": lambda: False,
        "database_url": lambda: database_url(
            settings, settings.release.database_url, settings.metadata_database
        ),
        "async_database_url": lambda: _async_database_url(settings),
        "async_database_arguments": lambda: (
            "airflow_async.ASYNC" if _checks_certificate(settings) or pooled else None
        ),
        "fernet_key": lambda: settings.secret("airflow_fernet_key"),
        "jwt_secret": lambda: settings.secret("airflow_jwt_secret"),
        "base_url": lambda: base_url(settings),
        "execution_url": lambda: f"{api_url(settings)}/execution/",
        "web_host": lambda: settings.airflow_web_host,
        "web_port": lambda: settings.airflow_web_port,
        "web_workers": lambda: settings.airflow_web_workers or 1,
        "secret_key": lambda: settings.secret("airflow_secret_key"),
        **_celery_meanings(settings),
        "parser_logs": lambda: f"{LOGS}/scheduler",
        "remote_logging": lambda: settings.airflow_remote_logs and "True",
        "remote_log_folder": lambda: settings.airflow_remote_logs,
        "remote_log_connection": lambda: settings.airflow_remote_logs_connection,
        "statsd_on": lambda: statsd and "True",
        "statsd_host": lambda: statsd,
        "statsd_port": lambda: settings.monitoring_statsd_port if statsd else None,
        "parser_manager_log": lambda: f"{LOGS}/dag_processor_manager.log",
    }


def _celery_meanings(settings: Settings) -> dict[str, Callable[[], Scalar | None]]:
    """Return the values for Celery and its workers."""
    return {
        "broker_url": lambda: broker_url(settings),
        "celery_options": lambda: json.dumps(_celery_options(settings)),
        "visibility_timeout": lambda: (
            settings.redis_visibility_timeout if settings.broker == "redis" else None
        ),
        "result_backend": lambda: _results(settings),
        "worker_concurrency": lambda: settings.airflow_worker_concurrency or 1,
        "worker_log_port": lambda: settings.airflow_worker_log_port,
        "triggerer_log_port": lambda: settings.airflow_triggerer_log_port,
        "default_queue": lambda: settings.airflow_default_queue,
    }


def base_url(settings: Settings) -> str:
    """Return the URL of the web UI, as links name it."""
    return settings.airflow_base_url or settings.topology.proxy_url or _web_url(settings)


def api_url(settings: Settings) -> str:
    """Return the URL of the web UI, as this host's processes reach it."""
    here = f"http://{reachable(settings.airflow_web_host)}:{settings.airflow_web_port}"
    serves = settings.release.web in settings.airflow_components
    return settings.airflow_api_url or (here if serves else _web_url(settings))


def _web_url(settings: Settings) -> str:
    address = (*settings.topology.web_hosts, "localhost")[0]
    return f"http://{bracketed(address)}:{settings.airflow_web_port}"


def database_url(settings: Settings, form: str, database: Database) -> str:
    """Return the URL of a database; it holds a password."""
    return with_tls(settings, _plain_url(settings, form, database))


def _plain_url(settings: Settings, form: str, database: Database) -> str:
    return form.format(
        user=database.user,
        password=quote(database.password, safe=""),
        host=bracketed(settings.server("postgresql")),
        port=settings.database_port,
        database=database.name,
    )


def with_tls(settings: Settings, url: str) -> str:
    """Add to a database's URL what libpq has to know of encryption."""
    if settings.sslmode is None:
        return url
    options = {"sslmode": settings.sslmode}
    if _checks_certificate(settings):
        options["sslrootcert"] = settings.ca_path("postgresql")
    return f"{url.partition('?')[0]}?{urlencode(options, safe='/')}"


def _checks_certificate(settings: Settings) -> bool:
    return settings.sslmode in ("verify-ca", "verify-full")


def _async_database_url(settings: Settings) -> str | None:
    """Return the URL for asyncpg, where Airflow's own would hand it words that only libpq knows."""
    if settings.sslmode is None:
        return None
    form = settings.release.database_url.replace("psycopg2", "asyncpg")
    url = _plain_url(settings, form, settings.metadata_database)
    return url if _checks_certificate(settings) else f"{url}?ssl={settings.sslmode}"


def _results(settings: Settings) -> str:
    return database_url(settings, settings.release.result_backend, settings.results_database)


def broker_url(settings: Settings) -> str:
    """Return the URL of the broker; it holds a password."""
    release, broker = settings.release, settings.servers[settings.broker]
    form = release.redis_url if broker.name == "redis" else release.broker_url
    url = form.format(
        user=quote(settings.rabbitmq_user, safe=""),
        password=quote(broker.password, safe=""),
        host=bracketed(settings.server(broker.name)),
        port=broker.port,
        vhost=quote(settings.rabbitmq_vhost, safe=""),
        database=settings.redis_database,
    )
    return url.replace("://", "s://", 1) if broker.tls else url


def broker_tls(settings: Settings) -> dict[str, Any]:
    """Return Celery's ``broker_use_ssl``, by the names that the broker's client has for it."""
    broker = settings.broker
    if not settings.servers[broker].tls:
        return {}
    ca = settings.ca_path(broker)
    if broker == "redis":
        return {"ssl_cert_reqs": "required", "ssl_ca_certs": ca, "ssl_check_hostname": True}
    # 2 is Python's ssl.CERT_REQUIRED; without the host's name its certificate fits any host.
    return {"cert_reqs": 2, "ca_certs": ca, "server_hostname": settings.server("rabbitmq")}


def _celery_options(settings: Settings) -> dict[str, Any]:
    tls = broker_tls(settings)
    return {
        # RabbitMQ refuses transient queues that are not exclusive from 4.3 on.
        **{f"{queue}_queue_exclusive": True for queue in ("control", "event")},
        **({"broker_use_ssl": tls} if tls else {}),
    }


def _escaped(settings: Settings, value: str) -> str:
    return value.replace("%", "%%") if settings.release.escapes_percent else value


def _shell_escaped(value: str) -> str:
    for character in '\\"$`':
        value = value.replace(character, f"\\{character}")
    return value
