"""Ask a host once for all that the steps of a run want to know.

Components say with `expect` what their steps are going to ask. One command asks all of it, and an
answer serves until a step has changed something on that host. pyinfra prints a fact's arguments
with -v, so none of them is a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

from pyinfra import host
from pyinfra.api import FactBase, StringCommand

from ..run import changes, executing, memory

REST_OF_INPUT = "cat >/dev/null"
"""Ends a command that may leave its input unread: pyinfra fails when it can't send all of it."""


def shell(*bits: object) -> StringCommand:
    """Join bits of a command without spaces between them."""
    return StringCommand(*bits, _separator="")


_BOOK = "airflow_answers"
"""Where a host's connector data keeps its answers."""
Answer = TypeVar("Answer")


class Wide(FactBase[Answer]):
    """A fact about several things, whose answer holds that about fewer of them."""

    wide: ClassVar[str]
    """The argument that lists them."""

    @staticmethod
    def narrowed(answer: Answer, have: tuple[Any, ...], wanted: tuple[Any, ...]) -> Answer:
        """Return what the ``answer`` about the things of ``have`` says about those ``wanted``."""
        return answer


def in_places(answer: list[str], have: tuple[object, ...], wanted: tuple[object, ...]) -> list[str]:
    """Return the words about the things ``wanted``, where there is one for each of ``have``."""
    whole = len(answer) == len(have)
    return [answer[have.index(each)] for each in wanted] if whole else answer


class Beyond:
    """Marks a fact about more than its host, which others may change while a run is prepared."""


class Look(NamedTuple):
    """A question to a host."""

    fact: type[FactBase[Any]]
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, fact: type[FactBase[Any]], **arguments: Any) -> Look:
        """Return the question of ``fact`` with these arguments."""
        return cls(fact, arguments)

    @property
    def things(self) -> tuple[Any, ...] | None:
        """Return what a wide fact is asked about; None for other facts."""
        return tuple(self.arguments[self.fact.wide]) if issubclass(self.fact, Wide) else None

    @property
    def rest(self) -> dict[str, Any]:
        """Return the arguments beside that."""
        wide = self.fact.wide if issubclass(self.fact, Wide) else None
        return {name: value for name, value in self.arguments.items() if name != wide}

    def like(self, other: Look) -> bool:
        """Return whether both differ at most in the things that they are about."""
        return self.fact is other.fact and self.rest == other.rest

    def covers(self, other: Look) -> bool:
        """Return whether the answer to this one answers the other."""
        return self.like(other) and set(other.things or ()) <= set(self.things or ())

    def with_things_of(self, other: Look) -> Look:
        """Return the question about the things of both."""
        if not issubclass(self.fact, Wide):
            return self
        things = dict.fromkeys((*(self.things or ()), *(other.things or ())))
        return Look(self.fact, {**self.rest, self.fact.wide: tuple(things)})


@dataclass
class Known:
    """An answer."""

    look: Look
    answer: Any
    changes: int
    executing: bool
    """Whether it was given while the run was on its way."""
    serves: bool
    """Whether it serves the run too if it was given while that was prepared."""

    def fits(self) -> bool:
        """Return whether nothing has changed on this host since."""
        undisturbed = self.serves and not self.executing and not memory().get(_DISTURBED)
        return self.changes == changes() and (
            self.executing == executing() or (executing() and undisturbed)
        )


_DISTURBED = "airflow_disturbed"


def disturbed() -> None:
    """Forget what was known of a host: another run was there since this one was prepared."""
    memory()[_DISTURBED] = True


@dataclass
class Book:
    """What is known of a host, and what its steps are going to ask."""

    known: list[Known] = field(default_factory=list)
    expected: list[Look] = field(default_factory=list)

    def expect(self, look: Look) -> None:
        """Note a question, together with those like it."""
        for number, each in enumerate(self.expected):
            if each.like(look):
                self.expected[number] = each.with_things_of(look)
                return
        self.expected.append(look)

    def find(self, look: Look) -> Known | None:
        """Return a known answer that still fits."""
        self.known = [each for each in self.known if each.fits()]
        return next((each for each in self.known if each.look.covers(look)), None)

    def widened(self, look: Look) -> Look:
        """Return the question about all that is expected to be asked."""
        alike = (each for each in self.expected if each.like(look))
        return next((look.with_things_of(each) for each in alike), look)

    def keep(self, look: Look, answer: Any) -> Known:
        """Note an answer."""
        serves = not issubclass(look.fact, Beyond)
        known = Known(look, answer, changes(), executing(), serves)
        self.known.append(known)
        return known


def _book() -> Book:
    book: Book = memory().setdefault(_BOOK, Book())
    return book


def look(fact: type[FactBase[Answer]], stdin: StringIO | None = None, **arguments: Any) -> Answer:
    """Ask a host, and give the same answer again until a step has changed something there."""
    question = Look(fact, arguments)
    return cast("Answer", _narrowed(_known(question, stdin), question))


def foresee(
    fact: type[FactBase[Answer]], stdin: StringIO | None = None, **arguments: Any
) -> Answer:
    """Ask for what a step is to be called; a run does not ask again for the step.

    Unless the step comes after a change, or there was no certain answer.
    """
    question = Look(fact, arguments)
    known = _known(question, stdin)
    answer = cast("Answer", _narrowed(known, question))
    known.serves = set(answer) == {"yes"} if isinstance(answer, list) else answer is not None
    return answer


def expect(looks: Iterable[Look]) -> None:
    """Note what the steps of a component are going to ask."""
    for each in looks:
        if each.things != ():
            _book().expect(each)


def ask_expected() -> None:
    """Ask all that is expected and not yet known, in one command."""
    book = _book()
    wanted = [each for each in book.expected if book.find(each) is None]
    if len(wanted) > 1 and (answers := host.get_fact(Everything, looks=tuple(wanted))):
        for question, answer in zip(wanted, answers, strict=True):
            book.keep(question, answer)


def _known(question: Look, stdin: StringIO | None) -> Known:
    book = _book()
    known = book.find(question)
    if known is None:
        wanted = question if stdin else book.widened(question)
        given = {"_stdin": stdin} if stdin else {}
        known = book.keep(wanted, host.get_fact(wanted.fact, **wanted.arguments, **given))
    return known


def _narrowed(known: Known, question: Look) -> Any:
    fact = question.fact
    if not issubclass(fact, Wide):
        return known.answer
    return fact.narrowed(known.answer, known.look.things or (), question.things or ())


_MARK = "==== pyinfra-airflow"


class Everything(FactBase[list[Any]]):
    """The answers to several ``looks``, in their order."""

    default = list
    _looks: tuple[Look, ...] = ()

    def command(self, looks: tuple[Look, ...]) -> StringCommand:
        self._looks = looks
        return StringCommand(*(bit for each in looks for bit in _part(each)))

    def process(self, output: list[str]) -> list[Any]:
        return [
            _answer(each, lines) for each, lines in zip(self._looks, _parts(output), strict=True)
        ]


def _part(look: Look) -> Iterator[object]:
    """Write a command that prints a line and its answer, which may lack the last line break."""
    yield f"echo '{_MARK}'; ("
    yield look.fact().command(**look.arguments)
    yield ") </dev/null 2>/dev/null | sed '$a\\';"


def _parts(output: Iterable[str]) -> list[list[str]]:
    parts: list[list[str]] = []
    for line in output:
        if line == _MARK:
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


def _answer(look: Look, lines: list[str]) -> Any:
    fact = look.fact()
    return fact.process(lines) if lines else fact.default()
