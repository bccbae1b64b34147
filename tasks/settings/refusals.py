"""Values as pydantic takes or refuses them, one sentence for what it refuses."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError
from pyinfra.api import Host

from . import sensitive
from .model import Model
from .part import Part
from .types import SettingsError

DERIVED = {"topology"}
_Part = TypeVar("_Part", bound=Part)


def sentence(error: ValidationError) -> str:
    """Return pydantic's first finding as one sentence, without what may be a secret."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    name = str(first["loc"][0])
    value = "" if is_secret(name) else sensitive.shown(first["input"])
    refusal = f"{name} can't be {value}" if value else name
    return f"{refusal}: {sensitive.refusal(error, first['loc'][1:])}"


def of_host(host: Host, part: type[_Part]) -> _Part:
    """Return a part of any host's settings, checked as its own run checks it."""
    data, names = host.data.dict(), part.model_fields.keys() - DERIVED
    given = {name: data[name] for name in names if data.get(name) is not None}
    try:
        return part(**given)
    except ValidationError as error:
        name, *place = error.errors(include_url=False, include_input=False)[0]["loc"]
        why = sensitive.refusal(error, place)
    raise SettingsError(f"{name} of host {host.name}: {why}")


def is_secret(name: str) -> bool:
    """Return whether a setting is not to be shown; airflow_config may have secrets among others."""
    return "Secret" in str(Model.model_fields[name].annotation)
