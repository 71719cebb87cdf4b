"""The meaning of each figure of a sample: the comments of the view `trace_scores`, and the signals of a judge."""

import re
from functools import cache
from typing import get_args

from db.views import definition
from tracemill.policy import Signal
from tracemill.scores import SCORES

_COMMENT = re.compile(r"^comment on column trace_scores\.(\w+) is '(.*)';$", re.MULTILINE)
_SIGNALS: dict[Signal, str] = {
    "rating": 'The judge\'s probability of yes to "does this reasoning lead to this answer?", 0 to 1.',
    "uplift": "The answer's probability with the reasoning minus that without it, -1 to 1.",
    "counterfactual": "Share of corrupted reasonings after which the judge's answer changes, 0 to 1.",
    "coherence": "Whether each step follows from the steps before it, 0 to 1, by the judge.",
    "agreement": "The judge's probability that the answer means the same as the gold answer, 0 to 1.",
}
assert set(_SIGNALS) == set(get_args(Signal))


def meaning(name: str) -> str:
    """One sentence about a figure; empty if there is none."""
    return _meanings().get(name, "")


@cache
def _meanings() -> dict[str, str]:
    comments = {name: about.replace("''", "'") for name, about in _COMMENT.findall(definition("trace_scores"))}
    return {**comments, **_SIGNALS, **{score.name: f"{score.about} Unit: {score.unit}." for score in SCORES}}
