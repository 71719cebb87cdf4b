r"""Are two mathematical answers the same thing? Decided by reading both (`reader`) and by their values (`equality`).

Three verdicts. True: the same value or the same shape of same values. False: both were read to the last sign and are
proven different. None: anything else, and whatever is for the question to say: a percent against a bare number, other
names of the variable, other units, a rounded decimal for 1/3.

- Scalars by value, with variables as functions (`equality`).
- ``y = 2x+3`` and ``x \in S`` are what stands right of the name; other equations are equal if (left - right) of one is
  a constant times that of the other, and different if a real point lies on one and not on the other.
- Inequalities of one variable are intervals; unions of intervals are compared piece by piece, sorted.
- Points and matrices in order, lists and sets in any order; ``a \pm b`` is a list of two.
"""

from tracemill.verification.answers.expressions.latex import GROUPED, Unread
from tracemill.verification.answers.expressions.parser import read
from tracemill.verification.answers.expressions.shapes import answers
from tracemill.verification.answers.expressions.values import Undecided


def same(gold: str, answer: str) -> bool | None:
    """Is `answer` the same mathematical object as `gold`? None where that cannot be decided.

    Never raises. Takes 0.1 ms as a rule, tens of milliseconds at most. Values that agree to 40 digits count as equal.
    """
    try:
        verdict = answers(read(gold), read(answer))
        if verdict is False and (GROUPED.search(gold) or GROUPED.search(answer)):
            return _as_lists(gold, answer)
    except (Unread, Undecided):
        return None
    return verdict


def _as_lists(gold: str, answer: str) -> bool | None:
    """The verdict if "100,200" is no number but a list of two; False if it cannot be."""
    try:
        trees = read(gold, grouped=False), read(answer, grouped=False)
    except Unread:
        return False
    return answers(*trees)
