"""Ask a host whether components and the schema are as they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO

from pyinfra.api import QuoteString, StringCommand

from ..addresses import reachable
from ..catalog.model import Component
from ..host.look import REST_OF_INPUT, Beyond, Wide, in_places, look
from ..settings import CONFIGURATION, Settings
from .helpers import helper
from .units import stamp, unit_name

Question = tuple[str, ...]
"""A check of ``airflow_probe.py`` and what it needs to know."""


class ProbeAnswers(Beyond, Wide[list[str]]):
    """The words that ``airflow_probe.py`` says, each question's within so many seconds.

    There are none before Airflow is installed, and a single one where it can't run.
    """

    wide = "questions"
    default = list

    @staticmethod
    def narrowed(
        answer: list[str], have: tuple[Question, ...], wanted: tuple[Question, ...]
    ) -> list[str]:
        return in_places(answer, have, wanted)

    def command(self, questions: tuple[Question, ...], within: int = 0) -> StringCommand:
        quoted = [QuoteString(json.dumps(question)) for question in questions]
        return StringCommand(
            f"if ls {CONFIGURATION}/*.env >/dev/null 2>&1; then answer=$(",
            helper("airflow_probe.py"), str(within),
            *quoted, """2>/dev/null); printf '%s\\n' "${answer:-unknown}"; fi;""", REST_OF_INPUT,
        )  # fmt: skip

    def process(self, output: list[str]) -> list[str]:
        return output


def question(settings: Settings, component: Component) -> Question:
    """Return the probe's question whether a component works, with this host's addresses."""
    web = f"http://{reachable(settings.airflow_web_host)}:{settings.airflow_web_port}"
    flower = f"http://{reachable(settings.airflow_flower_host)}:{settings.airflow_flower_port}"
    health = f"http://{reachable(settings.airflow_web_host)}:{settings.airflow_health_port}"
    unit = unit_name(component)
    more = {
        "web": [unit, *(f"{web}{path}" for path in settings.release.health_paths)],
        "flower": [unit, f"{flower}/"],
        "health": [unit, f"{health}/"],
        "heartbeat": [stamp(component)],
        "worker": list(settings.queues),
    }
    return (*component.probe, *more[component.probe[0]])


def schema_question(settings: Settings) -> Question:
    """Return the probe's question whether the database has the release's schema."""
    migrations = settings.release.migrations
    return ("schema", *(f"{table}={folder}" for table, folder in migrations.items()))


def ask(
    questions: tuple[Question, ...],
    *,
    within: int = 0,
    stdin: str | None = None,
    by: Callable[..., list[str]] = look,
) -> dict[Question, str]:
    """Ask the probe: question -> its word, which is empty before Airflow is installed.

    It is unknown where somebody took away what the probe needs.
    """
    # A stream, since pyinfra prints a fact's arguments with -v.
    stream = None if stdin is None else StringIO(stdin)
    words = by(ProbeAnswers, stdin=stream, questions=questions, within=within)
    whole = len(words) == len(questions)
    return {
        question: words[number] if whole else "".join(words[-1:])
        for number, question in enumerate(questions)
    }
