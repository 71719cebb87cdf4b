"""Everything that is checked about the reasoning of a trace without a model; its text is read once for all of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracemill.verification.reasoning.equations import Equations, check_cut, cut, shortened
from tracemill.verification.reasoning.grounding import concludes_cut, ungrounded_cut, unused_cut
from tracemill.verification.reasoning.restatements import restatements
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
    #: share of the sentences that repeat the question or an earlier one; None: there is no sentence to count
    restatements: float | None


def read(question: str | None, steps: Sequence[str], answer: str | None, are_thoughts: bool = False) -> Reasoning:
    """Check the steps of one trace, with the text of the answer that was found in it. Takes linear time.

    Thoughts may be dropped again ("2 + 2 = 5, no"), and nobody can tell which were. So they can speak for the answer,
    never against it: their false equations do not count, nor do their ungrounded numbers or another conclusion.
    """
    cuts = [cut(step) for step in shortened(steps)]
    equations = check_cut(cuts)
    if are_thoughts:
        concludes = answer is not None and concludes_cut(cuts, equations.last, answer)
        return Reasoning(
            replace(equations, checked=equations.checked - len(equations.false), false=[]),
            None if question is None else [],
            None if question is None else unused_cut(question, equations.used),
            concludes or None,
            restatements(question, steps),
        )
    return Reasoning(
        equations,
        None if question is None else ungrounded_cut(question, cuts),
        None if question is None else unused_cut(question, equations.used),
        None if answer is None else concludes_cut(cuts, equations.last, answer),
        restatements(question, steps),
    )
