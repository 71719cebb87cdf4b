"""[select] and [curriculum] of a ROUND.toml: which traces a round trains on, and in which order."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tracemill.policy import SIGNALS
from tracemill.scores import NUMERIC, score_name
from tracemill.sections import Section

#: Numeric columns of `trace_scores`, and the judge's signals in it, that a threshold can be put on.
THRESHOLDS = (
    *NUMERIC,
    *("faithfulness", "coherence", "majority", "margin", "tokens_out", "thinking_tokens", "cost"),
    *(signal for signal in SIGNALS if signal != "coherence"),
)
ScoreName = Annotated[str, score_name(THRESHOLDS)]

#: A date without a time zone is in UTC.
Moment = Annotated[datetime, AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC))]


class SelectSpec(Section):
    """The filter over traces. Whatever it says, no trace of an evaluation and no question that overlaps one passes."""

    #: Names of the `teach` jobs whose traces are used.
    jobs: list[str] = Field(min_length=1)
    #: Whether they pass their job's policy; "any": as they come, verified or not (the control arm).
    accepted: bool | Literal["any"] = True
    #: Whether the answer equals the gold answer. Absent: not asked.
    correct: bool | None = None
    #: Whether the last value that the reasoning derives is the answer. Absent: not asked.
    concludes: bool | None = None
    #: Any of these methods, model aliases, domains, datasets. Empty: all.
    methods: list[str] = Field(default=[])
    models: list[str] = Field(default=[])
    domains: list[str] = Field(default=[])
    datasets: list[str] = Field(default=[])
    #: Traces stored from `since` on, and before `until`.
    since: Moment | None = None
    until: Moment | None = None
    #: Least and greatest values of scores. A score that is null passes neither: unknown is not good enough.
    at_least: dict[ScoreName, float] = Field(default={})
    at_most: dict[ScoreName, float] = Field(default={})
    #: Of traces that are this similar one stays: the Jaccard index of the word 3-grams of question and text, as MinHash
    #: estimates it. Absent: all stay.
    near_duplicates: float | None = Field(default=None, gt=0, le=1)
    #: Traces of one question at most (pairs, where the objective wants pairs); 0: all.
    max_per_question: int = Field(default=4, ge=0)
    #: How much of the imbalance between difficulties stays. Those with more examples than the middle one are thinned: r
    #: times as many become r^balance times as many. 1: all stay; 0: none has more than the middle one.
    balance: float = Field(default=1.0, ge=0, le=1)
    #: The name of another round: as many tokens of each difficulty as its examples have.
    like: str | None = None
    #: Tokens that the teacher wrote, in all, at most; 0: all.
    tokens: int = Field(default=0, ge=0)
    #: Examples in all at most; 0: all.
    limit: int = Field(default=0, ge=0)
    #: Decontamination: a question overlaps one of an evaluation with the same numbers if they share more than this part
    #: of their word n-grams.
    overlap: float = Field(default=0.5, gt=0, lt=1)
    #: Words of an n-gram in questions without a number (in others: 3).
    ngram: int = Field(default=6, ge=3, le=50)
    #: Which traces remain where there are too many, and the order of training.
    seed: int = 0


#: Stages by default: thirds, the four levels simple, medium, complex and advanced, thirds.
STAGES = {"length": 3, "complexity": 4, "pass_rate": 3}


class CurriculumSpec(Section):
    """Easy examples first: stages of equal size, each trained on for its own epochs, which take the place of fit's."""

    #: length: tokens of the trace; complexity: its steps, then its tokens; pass_rate: the share of its question's
    #: traces that are accepted, high ones first.
    by: Literal["length", "complexity", "pass_rate"]
    #: Epochs of each stage; their number is the number of stages. Absent: one each, in thirds, or four of complexity.
    epochs: list[Annotated[int, Field(ge=1)]] = Field(default=[], max_length=8)

    @model_validator(mode="before")
    @classmethod
    def _an_epoch_each(cls, given: object) -> object:
        if isinstance(given, dict) and not given.get("epochs") and given.get("by") in STAGES:
            return given | {"epochs": [1] * STAGES[given["by"]]}
        return given
