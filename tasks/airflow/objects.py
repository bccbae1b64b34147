"""Objects kept in code: connections, variables, pools, users and roles of Airflow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import StringIO

from pyinfra import host, logger
from pyinfra.api import FactBase, StringCommand, operation

from ..deploys import deploy
from ..host.look import REST_OF_INPUT, Beyond
from ..host.steps import Commands, can_not_be_asked
from ..run import diffing, executing
from ..settings import CONFIGURATION, Settings
from .helpers import helper

Difference = dict[str, list[str]]
"""``added``, ``changed`` and ``removed`` -> names."""

Differences = dict[str, Difference] | None
_WORDS = {"added": "add", "changed": "change", "removed": "remove"}


@deploy("Objects")
def deploy_objects(settings: Settings | None = None) -> None:
    """Bring the objects that the inventory declares up to date, from one host for all.

    Other objects stay, unless ``airflow_remove_objects`` names their kind.
    """
    settings = Settings.of(host, settings)
    declared = settings.declared
    text = json.dumps(
        {
            **declared,
            "remove": settings.airflow_remove_objects,
            "administrator": settings.airflow_admin_user,
            "roles_known": "roles" not in settings.release.lacks,
        }
    )
    # No kind's answer depends on what a step does to another kind: one look serves all of them.
    seen: dict[bool, Differences] = {}
    for kind in host.loop(declared):
        up_to_date(
            name=f"Bring the {kind} up to date",
            kind=kind,
            anything=bool(declared[kind]),
            kinds=tuple(declared),
            text=text,
            seen=seen,
        )


@operation()
def up_to_date(
    kind: str, *, anything: bool, kinds: tuple[str, ...], text: str, seen: dict[bool, Differences]
) -> Commands:
    """Bring one kind of objects to what is declared; ``text`` has all kinds as JSON.

    ``anything`` tells whether any is declared of this one. All kinds ``kinds`` are compared at
    once, in a plan and again in a run; ``seen`` keeps the answers.
    """
    if executing() not in seen:
        answer = host.get_fact(ObjectDifferences, kinds=kinds, _stdin=StringIO(text))
        seen[executing()] = answer
    differences = seen[executing()]
    if differences is not None and kind in differences:
        if not any(differences[kind].values()):
            host.noop(f"the {kind} are as declared")
            return
        _tell(kind, differences[kind])
    elif can_not_be_asked(differences) or (differences == {} and not anything):
        host.noop(f"the {kind} are taken to be as declared")
        return
    yield StringCommand(helper("airflow_objects.py"), kind, _stdin=text)


def _tell(kind: str, difference: Mapping[str, Sequence[str]]) -> None:
    if diffing():
        for what, names in difference.items():
            if names:
                host.log(f"Will {_WORDS[what]} {kind}: {', '.join(names)}", logger.info)


class ObjectDifferences(Beyond, FactBase[dict[str, Difference] | None]):
    """What ``airflow_objects.py`` would change of each of ``kinds``; None when it can't be asked.

    What is declared goes on standard input. Before Airflow is installed there is no answer.
    """

    default = dict

    def command(self, kinds: tuple[str, ...]) -> StringCommand:
        return StringCommand(
            f"if ls {CONFIGURATION}/*.env >/dev/null 2>&1; then",
            helper("airflow_objects.py"), "compare", *kinds, "2>/dev/null || echo null; fi;",
            REST_OF_INPUT,
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, Difference] | None:
        answer: dict[str, Difference] | None = json.loads(output[-1])
        return answer
