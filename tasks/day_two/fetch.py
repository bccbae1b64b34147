"""Fetch the hosts' secrets to this machine if its own file is lost or out of date."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from pyinfra import host, logger
from pyinfra.api import FunctionCommand, Host, StringCommand, operation

from ..catalog.releases import RELEASES
from ..deploys import deploy
from ..host.steps import Commands
from ..run import active_hosts, as_host, becoming
from ..settings import CONFIGURATION, Settings, SettingsError, secrets

_SECRETS = f"{CONFIGURATION}/secrets.env"


@deploy("Secrets")
def deploy_secrets_fetch(settings: Settings | None = None) -> None:
    """Fetch the generated secrets of an inventory's hosts into its file of secrets.

    They come over SSH, as root reads them, and are never shown; the file's previous contents are
    kept next to it. Secrets that the inventory sets are left alone. SettingsError if hosts
    disagree, or if none has any.
    """
    settings = Settings.of(host, settings)
    file = settings.secrets_file(host)
    found = _agreed(file)
    generated = {name for name in found if secrets.kept(file, name) == settings.secret(name)}
    for name in sorted(found.keys() - generated):
        if found[name] != settings.secret(name):
            host.log(f"{name} is set, but differs from what the hosts have", logger.warning)
    kept(
        name=f"Save the hosts' secrets in {file}",
        file=file,
        values={name: SecretStr(found[name]) for name in generated},
    )


@operation()
def kept(file: Path, values: Mapping[str, SecretStr]) -> Commands:
    """Put the values into the file of secrets, unless it has them."""
    if all(secrets.kept(file, name) == value.get_secret_value() for name, value in values.items()):
        host.noop(f"{file} has the hosts' secrets")
        return
    yield FunctionCommand(_replaced, [file, values], {})


def _replaced(file: Path, values: Mapping[str, SecretStr]) -> None:
    secrets.replace_all(file, {name: value.get_secret_value() for name, value in values.items()})


def _agreed(file: Path) -> dict[str, str]:
    """Return what the hosts whose secrets are kept in ``file`` have, if they agree."""
    hosts = [each for each in active_hosts() if _file(each) == file]
    by_host = {each.name: read(_text(each)) for each in sorted(hosts, key=lambda each: each.name)}
    values: dict[str, dict[str, list[str]]] = {}
    for name, found in by_host.items():
        for secret, value in found.items():
            values.setdefault(secret, {}).setdefault(value, []).append(name)
    for secret, having in values.items():
        if len(having) > 1:
            sides = " and ".join(", ".join(names) for names in having.values())
            raise SettingsError(
                f"{secret} differs between {sides}: fetch from one of them with --limit"
            )
    if not values:
        raise SettingsError(f"no host of this run has {_SECRETS}, so there is nothing to fetch")
    return {secret: next(iter(having)) for secret, having in values.items()}


def _file(each: Host) -> Path:
    with as_host(each):
        return Settings.of(each).secrets_file(each)


def _text(each: Host) -> str:
    """Read a host's secrets past the facts, whose answers -vvv prints."""
    command = StringCommand("cat", _SECRETS, "2>/dev/null || true")
    done, output = each.run_shell_command(
        command, print_output=False, print_input=False, **becoming(each)
    )
    return output.stdout if done else ""


def read(text: str) -> dict[str, str]:
    """Return the secrets that an environment file of ours holds, by the names of their settings."""
    pairs = re.findall(r'^(\w+)="(.*)"$', text, re.MULTILINE)
    variables = {name: re.sub(r"\\(.)", r"\1", value) for name, value in pairs}
    meant = {meaning: _meant(variables, meaning) for meaning in _OF_MEANINGS}
    broker = meant["broker_url"]
    found = {
        **{f"airflow_{name}": meant[name] for name in ("fernet_key", "secret_key", "jwt_secret")},
        "airflow_admin_password": variables.get("FLOWER_BASIC_AUTH", "").partition(":")[2],
        "postgresql_password": _password(meant["database_url"]),
        "postgresql_results_password": _password(_results(meant)),
        f"{'redis' if broker.startswith('redis') else 'rabbitmq'}_password": _password(broker),
    }
    return {name: value for name, value in found.items() if value}


_OF_MEANINGS = (
    *("fernet_key", "secret_key", "jwt_secret"),
    *("database_url", "result_backend", "broker_url"),
)


def _meant(variables: Mapping[str, str], meaning: str) -> str:
    """Look up a value by what it means, whichever release's name it has."""
    keys = dict.fromkeys(r.keys[meaning] for r in RELEASES if meaning in r.keys)
    names = [f"AIRFLOW__{section}__{key}".upper() for section, key in keys]
    return next((variables[name] for name in names if name in variables), "")


def _results(meant: Mapping[str, str]) -> str:
    """Return the URL of the results where they have a login of their own."""
    urls = [urlsplit(meant[name]) for name in ("result_backend", "database_url")]
    return meant["result_backend"] if urls[0].username != urls[1].username else ""


def _password(url: str) -> str:
    return unquote(urlsplit(url).password or "")
