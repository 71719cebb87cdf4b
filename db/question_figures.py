"""The traces of each question of a job: yield, tokens, cost, and the ways in which answers fail."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from db.queries import Q
from db.session import transaction

#: The traces of so many questions show whether a job's answers are usable.
FIRST_QUESTIONS = 50
#: The largest share of traces that may derive nothing or be cut off without a warning.
MAX_USELESS = 0.2


class QuestionFigures(NamedTuple):
    """The traces of one question in one job."""

    content_hash: str
    traces: int
    accepted: int
    #: Whether each trace is accepted, and its tokens.
    outcomes: Sequence[bool]
    tokens: Sequence[int]
    cost: float
    engine_seconds: float
    #: Complete traces that derive nothing, traces that were cut off, and those without an answer in a requested form.
    bare: int
    cut_off: int
    malformed: int


def question_figures(connection: Connection, job: str, max_questions: int | None = None) -> list[QuestionFigures]:
    """The figures of the job's questions that are done; reads all of their traces."""
    values = {"job": job, "max_questions": max_questions}
    return [QuestionFigures(*row) for row in connection.execute(Q["question_figures"], values)]


def useless_traces(job: str) -> str | None:
    """A warning if many of the job's first traces derive nothing or are cut off; None before 50 questions are done."""
    with transaction() as connection:
        first = question_figures(connection, job, FIRST_QUESTIONS)
    traces = sum(question.traces for question in first)
    bare, cut_off = sum(question.bare for question in first), sum(question.cut_off for question in first)
    if len(first) < FIRST_QUESTIONS or bare + cut_off <= MAX_USELESS * traces:
        return None
    return (
        f"warning: of the first {traces} traces of job {job}, {bare / traces:.0%} derive nothing and "
        f"{cut_off / traces:.0%} are cut off. Compare methods, models and --max-tokens with `tracemill pilot`"
    )
