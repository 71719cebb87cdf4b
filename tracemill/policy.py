"""A job's verification policy: the signals to compute and the requirements on an accepted trace.

The policy is stored with its job. A check that could not decide (null) never passes a requirement.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from tracemill.errors import UsageError
from tracemill.scores import NUMERIC, score_name
from tracemill.sections import Section
from tracemill.statistics import Interval

#: Questions to the LLM verifier about a trace; docs/verification.md has the formula of each.
Signal = Literal["rating", "uplift", "counterfactual", "coherence", "agreement"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)
ScoreName = Annotated[str, score_name(NUMERIC)]


#: Fields of a policy that a calibration sets. A policy file must not.
MEASURED = ("uninformative", "thresholds")


class Gate(Section):
    """A requirement on a signal. For `precision` and `quantile` the judge's calibration gives the threshold."""

    #: Least share of right traces among those that pass. All of its 95 % interval in the calibration is at least this.
    precision: float | None = Field(None, gt=0, lt=1)
    #: Largest share of the calibration's right traces that the gate refuses.
    quantile: float | None = Field(None, gt=0, lt=1)
    #: A fixed threshold, which no calibration chose. A number instead of a table means the same.
    least: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _a_number_is_a_threshold(cls, value: Any) -> Any:
        return {"least": value} if type(value) in (int, float) else value

    @model_validator(mode="after")
    def _has_one_requirement(self) -> "Gate":
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("write one of precision, quantile and least")
        return self

    def __str__(self) -> str:
        return " ".join(f"{name} {value:g}" for name, value in self.model_dump(exclude_none=True).items())


class Threshold(NamedTuple):
    """The threshold of a gate, as the calibration gave it."""

    least: float
    #: Share of right traces among the calibration's traces that pass.
    precision: Interval
    #: Share of the calibration's right traces that pass.
    kept: Interval


class Policy(Section):
    """The requirements on a verdict. A trace is accepted if all of them hold."""

    #: The final answer equals the gold answer.
    correct: bool = True
    #: For questions without a gold answer: the least share of the question's samples that must agree with this answer.
    #: None means that such a question has no accepted trace while `correct` is required.
    majority: float | None = Field(None, gt=0, le=1)
    #: No equation in the trace is false.
    equations: bool = True
    #: The answer has a requested form (`\\boxed{}`, "The answer is …", `####`). It is not guessed from the last number.
    stated: bool = True
    #: Every number comes from the question or from an earlier result.
    grounded: bool = False
    #: The last value that the reasoning derives is the answer.
    concludes: bool = False
    #: The answer was not cut off at `max_tokens`.
    finished: bool = False
    #: Least number of steps.
    steps: int = Field(0, ge=0)
    #: Least values of scores. A null score fails.
    at_least: dict[ScoreName, float] = Field(default_factory=dict)
    #: Greatest values of scores. A null score fails.
    at_most: dict[ScoreName, float] = Field(default_factory=dict)
    #: The model alias of the judge. None means that no model is called.
    judge: str | None = None
    #: Signals that the judge gives for each trace.
    signals: tuple[Signal, ...] = ("rating",)
    #: Requirements on signals: `{ precision = 0.9 }`, `{ quantile = 0.1 }` or a number. A gate holds only if the
    #: judge's calibration shows that its signal is informative.
    gates: dict[Signal, Gate] = Field(default_factory=dict)
    #: A signal is informative if the 95 % interval of its AUC lies above this.
    auc_above: float = Field(0.5, ge=0.5, lt=1)
    #: Signals that are stored but gate nothing, and why. Filled in when the job is opened.
    uninformative: dict[Signal, str] = Field(default_factory=dict)
    #: Thresholds that the judge's calibration gave to the gates. Filled in when the job is opened.
    thresholds: dict[Signal, Threshold] = Field(default_factory=dict)
    #: Share of the questions whose traces are judged, to limit the cost. Every run judges the same questions.
    judge_share: float = Field(1.0, gt=0, le=1)
    #: Also judge the traces that the symbolic checks have refused, to measure the judge.
    judge_refused: bool = False
    #: Show the judge the thoughts of a trace whose text has no other reasoning. Otherwise it sees only the text.
    judge_thoughts: bool = False

    @classmethod
    def known_keys(cls) -> list[str]:
        return [name for name in super().known_keys() if name not in MEASURED]

    @model_validator(mode="after")
    def _gates_are_asked_for(self) -> "Policy":
        if missing := [name for name in self.gates if name not in self.signals]:
            raise ValueError(f"a gate on {', '.join(missing)} needs that signal: signals = {list(self.signals)}")
        if self.gates and (self.judge is None or self.judge_share < 1):
            raise ValueError("gates need a judge that sees every question: judge = ALIAS, judge_share = 1")
        return self

    def passes(self, verdict: Mapping[str, Any], stated: bool, finished: bool) -> bool:
        """Whether a verdict (columns of `verdicts`) passes the requirements that need no judge."""
        return (
            (not self.correct or self._right(verdict))
            and (not self.equations or verdict["equations_false"] == 0)
            and (not self.stated or stated)
            and (not self.grounded or verdict["ungrounded"] == 0)
            and (not self.concludes or verdict["concludes"] is True)
            and (not self.finished or finished)
            and verdict["steps"] >= self.steps
            and all(verdict[name] is not None and verdict[name] >= limit for name, limit in self.at_least.items())
            and all(verdict[name] is not None and verdict[name] <= limit for name, limit in self.at_most.items())
        )

    def passes_gates(self, scores: Mapping[Signal, float]) -> bool:
        """Whether the judge's signals pass. A missing signal fails; an uninformative one is ignored."""
        return all(
            name in self.uninformative or scores.get(name, float("-inf")) >= self.least(name) for name in self.gates
        )

    def least(self, signal: Signal) -> float:
        """The threshold of a gate. Raises UsageError if it needs a calibration that this policy does not have."""
        fixed = self.gates[signal].least
        if fixed is not None:
            return fixed
        if signal not in self.thresholds:
            raise UsageError(f"the gate on {signal} takes its threshold from a calibration, which only a job has")
        return self.thresholds[signal].least

    def judges(self, question_id: int) -> bool:
        """Whether the judge sees the traces of this question."""
        # Knuth's multiplicative hash distributes neighbouring ids evenly over the 32-bit range.
        return self.judge is not None and (question_id * 2654435761 % 2**32) < self.judge_share * 2**32

    @property
    def verifier(self) -> str:
        """The name under which this policy's verdicts are stored."""
        return f"checks+{self.judge}" if self.judge else "checks"

    def _right(self, verdict: Mapping[str, Any]) -> bool:
        if self.majority is not None and verdict["majority"] is not None:
            return bool(verdict["majority"] >= self.majority)
        return verdict["correct"] is True
