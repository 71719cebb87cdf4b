"""[select] and [curriculum] of a ROUND.toml: the traces that a round trains on, and their order."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tracemill.policy import SIGNALS
from tracemill.scores import NUMERIC, score_name
from tracemill.sections import Section

#: Columns of `trace_scores` that can have a threshold: its numbers and the judge's signals.
THRESHOLDS = (
    *NUMERIC,
    "faithfulness",
    "coherence",
    "majority",
    "margin",
    "tokens_out",
    "thinking_tokens",
    "cost",
    "pass_rate",
    *(signal for signal in SIGNALS if signal != "coherence"),
)
ScoreName = Annotated[str, score_name(THRESHOLDS)]

#: Scores whose greatest value is the best.
PREFERABLE = ("faithfulness", "majority", "margin", *SIGNALS)

#: A date without a time zone is in UTC.
Moment = Annotated[datetime, AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC))]


class SelectSpec(Section):
    """The filter over traces. It never passes a trace of an evaluation, or a question that overlaps one of these."""

    #: Names of the `teach` jobs whose traces are used.
    jobs: list[str] = Field(min_length=1)
    #: Whether they pass their job's policy; "any" also takes traces that nobody verified (the control arm).
    accepted: bool | Literal["any"] = True
    #: Leave out traces that were cut off at the longest answer. If they stay, the student learns no end after them.
    finished: bool = True
    #: Whether the answer equals the gold answer. Absent: no filter.
    correct: bool | None = None
    #: Whether the last value that the reasoning derives is the answer. Absent: no filter.
    concludes: bool | None = None
    #: Only traces of these methods. Empty: all.
    methods: list[str] = Field(default=[])
    #: Only traces of these model aliases. Empty: all.
    models: list[str] = Field(default=[])
    #: Only questions of these domains. Empty: all.
    domains: list[str] = Field(default=[])
    #: Only questions of these datasets. Empty: all.
    datasets: list[str] = Field(default=[])
    #: Only traces that were stored at this time or later.
    since: Moment | None = None
    #: Only traces that were stored before this time.
    until: Moment | None = None
    #: Least values of scores. A null score fails.
    at_least: dict[ScoreName, float] = Field(default={})
    #: Greatest values of scores. A null score fails.
    at_most: dict[ScoreName, float] = Field(default={})
    #: Of traces with this similarity or more, one stays: the Jaccard index of the word 3-grams of question and text,
    #: estimated by MinHash. Absent: all stay.
    near_duplicates: float | None = Field(default=None, gt=0, le=1)
    #: The most traces of one question, or pairs if the objective learns from pairs. 0 means no limit.
    max_per_question: int = Field(default=4, ge=0)
    #: Which traces of a question stay if there are more than `max_per_question`: any ("random"), those with the fewest
    #: tokens ("shortest"), with the highest `score` ("score"), or with the fewest word 3-grams in common ("diverse").
    prefer: Literal["random", "shortest", "score", "diverse"] = "random"
    #: The score for `prefer = "score"`: a signal of the judge, faithfulness, majority or margin.
    score: Annotated[str, score_name(PREFERABLE)] | None = None
    #: How much of the imbalance between difficulties stays. A difficulty with r times as many examples as the middle
    #: one keeps r^balance times as many. 1 keeps all; at 0 none has more examples than the middle one.
    balance: float = Field(default=1.0, ge=0, le=1)
    #: The same for the answers of choice questions (their letters) and of yes-or-no questions.
    label_balance: float = Field(default=1.0, ge=0, le=1)
    #: The name of another round: take as many tokens of each difficulty as its examples have. Rows above
    #: `fit.max_tokens` count on neither side.
    like: str | None = None
    #: The most tokens of all examples, as the teacher wrote them. 0 means no limit.
    tokens: int = Field(default=0, ge=0)
    #: The most examples. 0 means no limit.
    limit: int = Field(default=0, ge=0)
    #: Decontamination: two questions with the same numbers overlap if they share more than this part of their word
    #: n-grams.
    overlap: float = Field(default=0.5, gt=0, lt=1)
    #: Words of an n-gram in questions without numbers; questions with numbers use 3.
    ngram: int = Field(default=6, ge=3, le=50)
    #: Decides which traces stay if there are too many, and the order of training.
    seed: int = 0

    @model_validator(mode="after")
    def _prefers_by_one_score(self) -> "SelectSpec":
        if self.prefer == "score" and self.score is None:
            raise ValueError(f'prefer = "score" needs the score: score = "rating" (or {", ".join(PREFERABLE)})')
        if self.prefer != "score" and self.score is not None:
            raise ValueError(f'score = "{self.score}" needs prefer = "score"')
        return self


#: The default number of stages.
STAGES = {"length": 3, "complexity": 4, "pass_rate": 3}


class CurriculumSpec(Section):
    """Easy examples first, in stages of equal size. Each stage has its own epochs, in place of `fit.epochs`."""

    #: length: tokens of the trace; complexity: its steps, then its tokens; pass_rate: the accepted share of the traces
    #: of its question, from high to low.
    by: Literal["length", "complexity", "pass_rate"]
    #: Epochs of each stage; there are as many stages as numbers. Absent: one epoch each, in the default stages.
    epochs: list[Annotated[int, Field(ge=1)]] = Field(default=[], max_length=8)

    @model_validator(mode="before")
    @classmethod
    def _fill_epochs(cls, values: object) -> object:
        if isinstance(values, dict) and not values.get("epochs") and values.get("by") in STAGES:
            return values | {"epochs": [1] * STAGES[values["by"]]}
        return values
