"""The parts of a trace that the LLM verifier is shown."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One trace to judge. All of it is hostile text."""

    question: str
    #: The steps of the reasoning (`steps.split`, or the trace's own).
    steps: Sequence[str]
    #: The final answer, as extracted.
    answer: str
    #: The reference answer; only `agreement` shows it.
    gold: str | None = None
    #: The steps are thoughts, which may be discarded ideas; the answer is then a single statement.
    steps_are_thoughts: bool = False

    @property
    def length(self) -> int:
        """Characters of the question and the reasoning."""
        return len(self.question) + sum(map(len, self.steps))
