"""Everything that is checked about the reasoning of a trace without a model; its text is read once for all of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracemill.verification.reasoning.equations import Equations, check_cut, cut, shortened
from tracemill.verification.reasoning.grounding import concludes_cut, ungrounded_cut, unused_cut
from tracemill.verification.reasoning.steps import AtStep


@dataclass(frozen=True)
class Reasoning:
    """What `read` found."""

    equations: Equations
    #: numbers that neither the question nor an earlier result explains; None: there is no question to look in
    ungrounded: list[AtStep] | None
    #: numbers of the question that no equation works with; None: there is no question
    unused: int | None
    #: does the last value that the reasoning derives equal its answer; None: it derives none, or there is no answer
    concludes: bool | None


def read(question: str | None, steps: Sequence[str], answer: str | None) -> Reasoning:
    """Check the steps of one trace, with the text of the answer that was found in it. Takes linear time."""
    cuts = [cut(step) for step in shortened(steps)]
    equations = check_cut(cuts)
    return Reasoning(
        equations,
        None if question is None else ungrounded_cut(question, cuts),
        None if question is None else unused_cut(question, equations.used),
        None if answer is None else concludes_cut(cuts, equations.last, answer),
    )
