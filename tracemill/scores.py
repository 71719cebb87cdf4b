"""The table of scores: all measures of a trace's reasoning, one row each.

Other parts derive from this table: columns of `verdicts` and of the view `trace_scores`, thresholds of policies and
rounds, `tracemill verify` and the documentation. A new score needs its check, one row here and one migration
(docs/extending.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import Any, Literal

from pydantic import AfterValidator

#: A column's type in Postgres.
SqlType = Literal["bigint", "real", "boolean"]


@dataclass(frozen=True)
class TraceScore:
    """One measure of a trace. The value None means that the check could not decide."""

    name: str
    sql_type: SqlType
    #: Unit and range, for people.
    unit: str
    #: One sentence for the column's comment and the documentation.
    about: str
    #: The limits of the check, for the documentation.
    limits: str = ""
    #: Reads the value from `tracemill.verification.checks.Findings`; by default its attribute of the same name.
    get: Callable[[Any], bool | float | None] | None = None
    #: The score's own check, as "module:function". It gets the question (or None) and the steps.
    check: str | None = None

    def value(self, findings: Any) -> bool | float | None:
        """The score of one trace, out of its `Findings`."""
        value: bool | float | None = (
            findings.measured.get(self.name)
            if self.check is not None
            else (self.get or attrgetter(self.name))(findings)
        )
        return value


SCORES = (
    TraceScore(
        "equations_checked",
        "bigint",
        "count",
        "Equations in the text that can be evaluated exactly.",
        "algebra with variables",
    ),
    TraceScore(
        "equations_false",
        "bigint",
        "count",
        "Equations that are false even after rounding to the digits shown.",
        "whether the right quantity was calculated: a true equation may be the wrong step",
    ),
    TraceScore(
        "equations_compound",
        "bigint",
        "count",
        "Equations with several operations, such as 3 + 4 + 4 = 11. They skip steps.",
        "whether a reader can follow them",
    ),
    TraceScore(
        "unused",
        "bigint",
        "count",
        "Numbers of the question, in digits, that no equation of the trace uses.",
        "whether a number is irrelevant on purpose; numbers in words",
    ),
    TraceScore("steps", "bigint", "count", "Steps of the reasoning.", get=lambda findings: len(findings.steps)),
    TraceScore(
        "first_error",
        "bigint",
        "step",
        "First step with a false equation, counted from 0; null if no equation is false.",
        "errors outside equations",
    ),
    TraceScore(
        "ungrounded",
        "bigint",
        "count",
        "Numbers that are neither in the question, nor an earlier result, nor in a short list of constants.",
        "whether a grounded number was used correctly",
        lambda findings: None if findings.ungrounded is None else len(findings.ungrounded),
    ),
    TraceScore(
        "concludes",
        "boolean",
        "yes, no",
        "The last value that the reasoning derives is its answer; null if it derives none.",
    ),
    TraceScore(
        "restatements",
        "real",
        "share, 0 to 1",
        "Share of the trace's sentences that repeat the question or an earlier sentence.",
        "repetition in other words; whether a summary is useful",
        check="tracemill.verification.reasoning.restatements:restatements",
    ),
)

#: Scores that have their own field in a row of `tracemill verify`. The others are in older fields.
SCORE_FIELDS = tuple(
    score.name for score in SCORES if score.name not in ("equations_checked", "equations_false", "steps", "first_error")
)
#: Scores that can have a threshold.
NUMERIC = tuple(score.name for score in SCORES if score.sql_type != "boolean" and score.name != "first_error")


def scores_of(findings: Any) -> dict[str, bool | float | None]:
    """Every score of one trace by its name. `findings` is a `tracemill.verification.checks.Findings`."""
    return {score.name: score.value(findings) for score in SCORES}


def measure(question: str | None, steps: Sequence[str]) -> dict[str, bool | float | None]:
    """The scores that have a check of their own, by name. Runs in the child processes of the checks."""
    return {score.name: _function(score.check)(question, steps) for score in SCORES if score.check is not None}


@cache
def _function(path: str) -> Callable[[str | None, Sequence[str]], bool | float | None]:
    module, _, name = path.partition(":")
    function: Callable[[str | None, Sequence[str]], bool | float | None] = getattr(import_module(module), name)
    return function


def score_name(names: tuple[str, ...]) -> AfterValidator:
    """Validator for a key of `at_least` and `at_most`: the key must be one of `names`."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"there is no score '{name}', only {', '.join(sorted(names))}")
        return name

    return AfterValidator(check)
