"""Connections, variables, pools, users and roles as declared."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, field_validator

from . import declared
from .access import Access
from .types import Kind, Secret, as_list


class Objects(Access):
    """Connections, variables, pools, users and roles as declared."""

    airflow_connections: Secret | None = None
    """Connections: id -> URI or fields. This and the next four may be a path to a JSON file."""
    airflow_variables: Secret | None = None
    """Variables: name -> text, or a value that is stored as JSON."""
    airflow_pools: Secret | None = None
    """Pools: name -> slots, or a mapping with `slots`, `description` and `include_deferred`."""
    airflow_users: Secret | None = None
    """Logins: name -> `email`, `first_name`, `last_name`, `password` and `roles`."""
    airflow_roles: Secret | None = None
    """Roles: name -> list of permissions such as `can_read on DAGs`."""
    airflow_remove_objects: Annotated[tuple[Kind, ...], BeforeValidator(as_list)] = ()
    """Kinds, such as `pools`, of which everything that is not declared is removed."""

    @field_validator(
        "airflow_connections",
        "airflow_variables",
        "airflow_pools",
        "airflow_users",
        "airflow_roles",
        mode="before",
    )
    @classmethod
    def _declared(cls, value: Any, info: ValidationInfo) -> Any:
        kind = str(info.field_name).removeprefix("airflow_")
        return None if value is None else declared.read(kind, value)

    @property
    def declared(self) -> dict[str, dict[str, Any]]:
        """What is declared: kind -> name -> content, in the order in which they need each other."""
        texts = {kind: self.secret(f"airflow_{kind}") for kind in declared.KINDS}
        return {kind: json.loads(text) for kind, text in texts.items() if text}


def _unfit_objects(objects: Objects) -> str | None:
    for kind in declared.KINDS:
        if text := objects.secret(f"airflow_{kind}"):
            administrator = objects.airflow_admin_user
            sentence = declared.unusable(kind, text, objects.release, administrator)
            if sentence:
                return f"airflow_{kind}: {sentence}"
        elif kind in objects.airflow_remove_objects:
            return (
                f"airflow_remove_objects would remove all {kind}: set airflow_{kind} to those"
                " that stay, if only to {}"
            )
    return None


CHECKS = (_unfit_objects,)
