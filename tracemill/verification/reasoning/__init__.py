"""All checks of the reasoning of a trace that need no model.

The text is tokenized once for all checks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracemill.verification.reasoning.equations import Equations, check_cut, cut, shortened
from tracemill.verification.reasoning.grounding import concludes_cut, ungrounded_cut, unused_cut
from tracemill.verification.reasoning.steps import AtStep


@dataclass(frozen=True)
class Reasoning:
    """The results of `read`."""

    equations: Equations
    #: numbers that neither the question nor an earlier result explains; None without a question
    ungrounded: list[AtStep] | None
    #: count of the question's numbers that no equation uses; None without a question
    unused: int | None
    #: does the last derived value equal the answer; None without a derived value or an answer
    concludes: bool | None


def read(question: str | None, steps: Sequence[str], answer: str | None, are_thoughts: bool = False) -> Reasoning:
    """Check the steps of one trace against its question and its answer.

    A model may reject a thought later ("2 + 2 = 5, no"), and the text does not show which ones. So thoughts can support
    an answer but not refute it. Their false equations, ungrounded numbers and other conclusions do not count.
    Takes linear time.
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
        )
    return Reasoning(
        equations,
        None if question is None else ungrounded_cut(question, cuts),
        None if question is None else unused_cut(question, equations.used),
        None if answer is None else concludes_cut(cuts, equations.last, answer),
    )
