"""The verdict on one trace: the findings of the checks, the vote of its answer, the judge's signals, the acceptance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracemill.errors import TracemillError
from tracemill.policy import Signal
from tracemill.scores import scores_of
from tracemill.verification.answers.voting import Vote
from tracemill.verification.checks import Findings
from tracemill.verification.judge import Judged

#: Signals that measure faithfulness, the preferred one first.
_FAITHFULNESS: tuple[Signal, ...] = ("rating", "counterfactual", "uplift")


@dataclass(frozen=True)
class Verdict:
    """Everything that is known about one trace."""

    #: Of the checks. `correct` and `proof` include the run of a program, and an informative judge's agreement.
    findings: Findings
    #: How often the samples of its question gave this answer; None: there was no vote.
    vote: Vote | None = None
    #: Why it is refused, by its method or because it has no answer, whatever else holds.
    refusal: str | None = None
    #: The judge's reply; None: not asked.
    judged: Judged | None = None
    #: Why the verdict is incomplete for now: there is no sandbox here, or the judge cannot be reached.
    blocked_by: TracemillError | None = None
    #: Whether the policy accepts the trace; None: there is no policy, or the trace only votes.
    accepted: bool | None = None

    @property
    def correct(self) -> bool | None:
        """Whether the answer equals the gold answer; None: that cannot be decided."""
        return self.findings.correct

    @property
    def proof(self) -> str:
        """How `correct` was decided, or why not. A vote takes its place; it never decides `correct`."""
        return self.vote.proof if self.vote else self.findings.proof

    @property
    def answer(self) -> str | None:
        """The final answer as the trace gives it."""
        return self.findings.answer

    @property
    def signals(self) -> Mapping[Signal, float]:
        """The judge's signals by name."""
        return self.judged.scores if self.judged else {}

    @property
    def faithfulness(self) -> float | None:
        """The first of rating, counterfactual and uplift that the judge gave."""
        return next((self.signals[name] for name in _FAITHFULNESS if name in self.signals), None)

    @property
    def coherence(self) -> float | None:
        """The judge's coherence, 0 to 1."""
        return self.signals.get("coherence")

    @property
    def columns(self) -> Mapping[str, Any]:
        """What a policy reads, by the names of the columns of `verdicts`."""
        return {"correct": self.correct, "majority": self.vote.share if self.vote else None, **scores_of(self.findings)}
