"""The schema of the metadata database, and the administrator's login."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from ..before.guard import guard_alone
from ..before.stored import Stored
from ..deploys import deploy
from ..host.look import foresee
from ..host.steps import Commands, can_not_be_asked, told
from ..run import executing
from ..settings import ENVIRONMENT, Settings
from .helpers import helper
from .probe import Question, ask, schema_question

_REVISIONS = ("revisions",)


@deploy("Database")
def deploy_database(
    settings: Settings | None = None,
    *,
    stored: Stored | None = None,
    empty: bool = False,
    kept: bool = False,
) -> None:
    """Create the schema and the administrator's login, from one host for all.

    ``stored`` is what the database holds, as far as that is known; it may be known to be ``empty``.
    One of an older release is backed up before it is migrated, unless the backup is ``kept``
    already, and put back when that fails.
    """
    settings = Settings.of(host, settings)
    guard_alone(settings)
    release = settings.release
    user, email = settings.airflow_admin_user, settings.airflow_admin_email
    questions = (schema_question(settings), ("login", user, email))
    password = settings.secret("airflow_admin_password")
    schema(
        name=_schema_step(settings, stored),
        version=release.version,
        commands=(release.create_schema, release.upgrade_schema),
        questions=questions,
        password=password,
        empty=empty,
        kept=kept,
    )
    have = ["none"] * 2 if empty else ask(questions, stdin=password, by=foresee).values()
    login(
        name=f"{_login_verb(*have)} the login {user}",
        script=release.login_script,
        questions=questions,
        password=password,
        empty=empty,
    )


def _schema_step(settings: Settings, stored: Stored | None) -> str:
    """Name the step that brings the schema to the release, by where it comes from."""
    if stored is None or not stored.revisions:
        return f"Create the schema of Airflow {settings.airflow_version}"
    if stored.older(settings.airflow_version):
        return f"Migrate the schema from {stored.schema} to {settings.airflow_version}"
    return "Migrate the schema to this release"


@operation()
def schema(
    version: str,
    commands: tuple[str, str],
    *,
    questions: tuple[Question, ...],
    password: str,
    empty: bool,
    kept: bool,
) -> Commands:
    """Bring the metadata database to the schema of release ``version``, by Airflow's ``commands``.

    The first makes a schema, the second migrates one. ``questions`` about the schema and the login
    are asked in one look, with the ``password``. What was not known before is refused here. Where
    the database is ``empty``, the one that Airflow has used until now may be another.
    """
    foreseen = empty and not executing()
    answer = "none" if foreseen else ask(questions, stdin=password)[questions[0]]
    if answer == "yes" or can_not_be_asked(answer):
        host.noop("the schema is already this release's")
        return
    # The lock lets an end come to what a killed run has started.
    direct = helper("airflow_database.py")
    create, upgrade = (
        f"flock /run/airflow-schema.lock {direct} run {words.format(lib=f'{ENVIRONMENT}/lib')}"
        for words in commands
    )
    if answer in ("", "none"):
        yield create
        return
    have = Stored(revisions=tuple(ask((_REVISIONS,))[_REVISIONS].split(",")))
    if answer != "no" or (sentence := have.no_way(version)):
        why = "it can't be asked" if answer != "no" else f"it is of {have.schema}: {sentence}"
        yield StringCommand(
            "echo", QuoteString(f"the database is left as it is: {why}"), ">&2; false"
        )
        return
    yield (
        upgrade
        if kept
        else _WITH_BACKUP.format(
            backup=f"{ENVIRONMENT}/bin/backup --release {have.release}",
            upgrade=upgrade,
            direct=direct,
        )
    )


_WITH_BACKUP = """made=$({backup}) && {{ {upgrade} || {{
    echo "the schema could not be changed: restoring the database from $made" >&2
    tar -xOf "$made" database.dump | {direct} restore; false; }}; }}"""


def _login_verb(schema: str, login: str) -> str:
    """Return what the step of the login does, by what the probe says of both."""
    return "Create" if schema in ("", "none") or login == "none" else "Change"


@operation()
def login(script: str, *, questions: tuple[Question, ...], password: str, empty: bool) -> Commands:
    """Set an administrator's login with this password; the last question names the login."""
    foreseen = empty and not executing()
    answers = dict.fromkeys(questions, "none") if foreseen else ask(questions, stdin=password)
    _, user, email = questions[-1]
    # Without a schema there is no answer to the last question, but one to the first.
    answer = answers[questions[-1]]
    if answer == "yes" or can_not_be_asked(answers[questions[0]]):
        host.noop(f"{user} has this login")
        return
    # An older probe says no more than that.
    if answer not in ("", "no", "none", "unknown"):
        told(f"login {user}", [answer])
    yield StringCommand(helper(script), QuoteString(user), QuoteString(email), _stdin=password)
