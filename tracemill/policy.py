"""What a job's verifier computes, and what makes a trace accepted: one small declarative object stored with the job.

A signal that is null (a check that could not decide) never passes a requirement: unknown is not good enough to train
on.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from tracemill.settings import Section


class Policy(Section):
    """The requirements on a verdict. All of them must hold."""

    #: The final answer equals the gold answer.
    correct: bool = True
    #: No equation in the trace is false.
    equations: bool = True
    #: The answer is given in an asked form (`\\boxed{}`, "The answer is …", `####`), not guessed from the last number.
    stated: bool = True
    #: The model alias that rates each trace; null: no model is called.
    judge: str | None = None
    #: Share of the questions whose traces the judge rates, to bound its cost. The same questions at every run.
    judge_share: float = Field(1.0, gt=0, le=1)

    def accepts(self, verdict: Mapping[str, Any], stated: bool) -> bool:
        """Whether a verdict (columns of `verdicts`) of a trace passes."""
        return (
            (not self.correct or verdict["correct"] is True)
            and (not self.equations or verdict["equations_false"] == 0)
            and (not self.stated or stated)
        )

    def judges(self, question_id: int) -> bool:
        """Whether the judge rates the traces of this question."""
        # Knuth's multiplicative hash spreads neighbouring ids evenly over the 32-bit range.
        return self.judge is not None and (question_id * 2654435761 % 2**32) < self.judge_share * 2**32

    @property
    def verifier(self) -> str:
        """The name under which this policy's verdicts are stored."""
        return f"checks+{self.judge}" if self.judge else "checks"
