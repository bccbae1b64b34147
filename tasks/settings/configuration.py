"""Sections and keys of airflow.cfg."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from . import cfg_names, sensitive
from .part import Part
from .types import Scalar

Sections = dict[str, dict[str, Scalar]]


def _hidden(value: Sections) -> Sections:
    """Hide what looks like a secret wherever it is shown from here on."""
    if sentence := cfg_names.unusable(value):
        raise ValueError(sentence)
    return {
        section: {
            key: SecretStr(cfg_names.text(content))
            if sensitive.looks_secret(section, key, content)
            else content
            for key, content in keys.items()
        }
        for section, keys in value.items()
    }


# What airflow_config must not set, since other parts follow the same setting.
_SET_ELSEWHERE = {
    "home": "airflow_home",
    "dags": "airflow_home",
    "plugins": "airflow_home",
    "database_url": "the postgresql_ settings",
    "broker_url": "the rabbitmq_ or redis_ settings",
    "result_backend": "the postgresql_ settings",
    "fernet_key": "airflow_fernet_key",
    "secret_key": "airflow_secret_key",
    "web_host": "airflow_web_host",
    "web_port": "airflow_web_port",
    "worker_concurrency": "airflow_worker_concurrency",
    "worker_log_port": "airflow_worker_log_port",
}


class Configuration(Part):
    """Sections and keys of airflow.cfg."""

    airflow_config: Annotated[Sections, AfterValidator(_hidden)] = Field(default_factory=dict)
    """Any section and key of airflow.cfg: `{"core": {"parallelism": 8}}`; overrides ours."""


def _derived_keys(configuration: Configuration) -> str | None:
    keys = configuration.release.keys
    for name, setting in _SET_ELSEWHERE.items():
        section, key = keys.get(name, ("", ""))
        if key in configuration.airflow_config.get(section, {}):
            return f"airflow_config sets [{section}] {key}: set {setting} instead"
    return None


def _lost_keys(configuration: Configuration) -> str | None:
    sentence = cfg_names.lost(
        configuration.airflow_config, python_2=not configuration.release.escapes_percent
    )
    return sentence and f"airflow_config: {sentence}"


CHECKS = (
    _derived_keys,
    _lost_keys,
)
