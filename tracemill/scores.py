"""The table of scores: everything the checks measure about the reasoning of a trace, one row each.

Columns of `verdicts` and of the view `trace_scores`, thresholds of policies and rounds, `tracemill verify` and the
documentation derive from this table. A new score is its check, one row here and one migration (docs/extending.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from pydantic import AfterValidator

#: A column's type in Postgres.
SqlType = Literal["bigint", "real", "boolean"]


@dataclass(frozen=True)
class TraceScore:
    """One measure of a trace. None means that it could not be decided."""

    name: str
    sql_type: SqlType
    #: Unit and range, as people read it.
    unit: str
    #: One sentence: the comment of the column and the documentation.
    about: str
    #: What it cannot tell, for the documentation.
    limits: str = ""
    #: Its value, out of `tracemill.verification.checks.Findings`.
    get: Callable[[Any], bool | float | None] | None = None


SCORES = (
    TraceScore(
        "equations_checked",
        "bigint",
        "count",
        "Equations in the text that could be evaluated exactly.",
        "algebra with variables is not read",
    ),
    TraceScore(
        "equations_false",
        "bigint",
        "count",
        "Equations that are false, beyond rounding to the digits shown.",
        "that the right thing was calculated: a true equation may be the wrong step",
    ),
    TraceScore(
        "equations_compound",
        "bigint",
        "count",
        "Equations that do several operations at once, as 3 + 4 + 4 = 11 does: steps were skipped.",
        "whether the reader could follow it",
    ),
    TraceScore(
        "unused",
        "bigint",
        "count",
        "Numbers of the question, in digits, that no equation of the trace works with.",
        "that some are there to mislead; numbers in words",
    ),
    TraceScore("steps", "bigint", "count", "Steps of the reasoning.", get=lambda findings: len(findings.steps)),
    TraceScore(
        "first_error",
        "bigint",
        "step",
        "First step with a false equation, counted from 0; null: no equation is false.",
        "errors that are no equations",
    ),
    TraceScore(
        "ungrounded",
        "bigint",
        "count",
        "Numbers that come neither from the question, nor from an earlier result, nor from a short list of constants.",
        "whether a grounded number was used rightly",
        lambda findings: None if findings.ungrounded is None else len(findings.ungrounded),
    ),
    TraceScore(
        "concludes",
        "boolean",
        "yes, no",
        "The last value that the reasoning derives is its answer; null: it derives none.",
    ),
    TraceScore(
        "restatements",
        "real",
        "share, 0 to 1",
        "Share of the trace's sentences that repeat the question or an earlier sentence.",
        "repetition in other words; that a summary may be wanted",
    ),
)

#: Scores that a row of `tracemill verify` has under their own names; the others are in older fields.
SCORE_FIELDS = tuple(
    score.name for score in SCORES if score.name not in ("equations_checked", "equations_false", "steps", "first_error")
)
#: Scores that a threshold can be put on.
NUMERIC = tuple(score.name for score in SCORES if score.sql_type != "boolean" and score.name != "first_error")


def scores_of(findings: Any) -> dict[str, bool | float | None]:
    """Every score of one trace by its name. `findings`: `tracemill.verification.checks.Findings`."""
    return {score.name: (score.get or attrgetter(score.name))(findings) for score in SCORES}


def score_name(names: tuple[str, ...]) -> AfterValidator:
    """Validates a key of `at_least` and `at_most`: it must be one of `names`."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"there is no score '{name}', only {', '.join(sorted(names))}")
        return name

    return AfterValidator(check)
