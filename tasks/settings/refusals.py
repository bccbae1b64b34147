"""Values as pydantic takes or refuses them, one sentence for what it refuses."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import ValidationError, create_model
from pyinfra.api import Host

from .. import sensitive
from .model import Model
from .types import SettingsError


def sentence(error: ValidationError) -> str:
    """Say the first thing that pydantic found in one sentence, without what may be a secret."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    name = str(first["loc"][0])
    value = "" if is_secret(name) else sensitive.shown(first["input"])
    refusal = f"{name} can't be {value}" if value else name
    return f"{refusal}: {sensitive.refusal(error, first['loc'][1:])}"


@cache
def _alone(name: str) -> Any:
    """Return a model of one setting."""
    field: Any = Model.model_fields[name]
    return create_model("Setting", value=(field.annotation, field))


def of_host(host: Host, name: str) -> Any:
    """Return one setting of any host, checked as its own run checks it."""
    given = host.data.get(name)
    try:
        return _alone(name).model_validate({} if given is None else {"value": given}).value
    except ValidationError as error:
        why = sensitive.refusal(error, error.errors()[0]["loc"][1:])
    raise SettingsError(f"{name} of host {host.name}: {why}")


def is_secret(name: str) -> bool:
    """Tell whether a setting is not to be shown; airflow_config may have secrets among others."""
    return "Secret" in str(Model.model_fields[name].annotation)
