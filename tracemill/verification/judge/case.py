"""What the LLM verifier is shown of a trace."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One trace to judge. All of it is hostile text."""

    question: str
    #: The reasoning, step by step (`steps.split`, or as the trace brings them).
    steps: Sequence[str]
    #: The final answer, as extracted.
    answer: str
    #: The reference answer; only `agreement` is shown it.
    gold: str | None = None
    #: Whether the steps are thoughts, which may be dropped again; the answer itself is then a single statement.
    steps_are_thoughts: bool = False

    @property
    def length(self) -> int:
        """Characters of the question and the reasoning."""
        return len(self.question) + sum(map(len, self.steps))
