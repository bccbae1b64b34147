"""One look serves several steps, each of which sees what it has asked for and nothing else."""

from dataclasses import replace

import pytest

from tasks.airflow.probe import ProbeAnswers
from tasks.host.found import Found, Paths
from tasks.host.look import Book, Look
from tasks.host.units import NO_UNIT, Units, Watched

FOUND = Found("root", "root", "644")
WORKER, TIMER = Watched("worker.service", "/", ("/w",)), Watched("x.timer", "/", ("/t",))


def test_a_step_sees_what_it_has_asked_for_alone() -> None:
    assert Paths.narrowed({"/a": FOUND, "/b": FOUND}, ("/a", "/b"), ("/b", "/c")) == {"/b": FOUND}
    stale = {"worker.service": replace(NO_UNIT, stale=True), "x.timer": NO_UNIT}
    assert Units.narrowed(stale, (WORKER, TIMER), (TIMER,)) == {"x.timer": NO_UNIT}
    both = (("web", "u"), ("files",))
    assert ProbeAnswers.narrowed(["yes", "none"], both, (("files",),)) == ["none"]
    assert ProbeAnswers.narrowed(["unknown"], both, (("files",),)) == ["unknown"]


@pytest.mark.parametrize(
    ("known", "asked", "covers"),
    [
        (Look.of(Paths, paths=("/a", "/b")), Look.of(Paths, paths=("/b",)), True),
        (Look.of(Paths, paths=("/a",)), Look.of(Paths, paths=("/a", "/b")), False),
        (Look.of(Units, watched=(WORKER,)), Look.of(Units, watched=(TIMER,)), False),
        (Look.of(Paths, paths=("/a",)), Look.of(Units, watched=()), False),
        (
            Look.of(ProbeAnswers, questions=(("files",),), within=0),
            Look.of(ProbeAnswers, questions=(("files",),), within=9),
            False,
        ),
    ],
)
def test_an_answer_serves_those_who_ask_for_a_part_of_it(
    known: Look, asked: Look, covers: bool
) -> None:
    assert known.covers(asked) == covers


def test_what_is_expected_of_a_fact_becomes_one_question() -> None:
    book = Book()
    for paths in (("/a",), ("/b", "/a")):
        book.expect(Look.of(Paths, paths=paths))
    book.expect(Look.of(Units, watched=(WORKER,)))
    assert book.expected == [Look.of(Paths, paths=("/a", "/b")), Look.of(Units, watched=(WORKER,))]
    assert book.widened(Look.of(Paths, paths=("/c",))) == Look.of(Paths, paths=("/c", "/a", "/b"))
