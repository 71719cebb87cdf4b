r"""Compare two mathematical answers.

Both are parsed (`parser`), then their values are compared (`equality`).

There are three verdicts. True: both have the same value, or the same shape with the same values. False: both are fully
parsed and proven different. None: all other cases. They include those that only the question can decide: a percent and
a bare number, other names of a variable, other units, a rounded decimal for 1/3.

- Scalars are compared by value; with variables they are compared as functions (`equality`).
- ``y = 2x+3`` and ``x \in S`` stand for their right side. Other equations are equal if (left - right) of one is a
  constant times (left - right) of the other. They are different if a real point solves only one of them.
- Inequalities of one variable are intervals. Unions of intervals are sorted and compared interval by interval.
- Sums, products, integrals and limits have the value that `closed_forms` finds. An indefinite integral is compared by
  the derivative of the other side (`antiderivatives`).
- Points and matrices are compared in order, lists and sets in any order. ``a \pm b`` is a list of two values.
"""

from tracemill.verification.answers.expressions.antiderivatives import same_antiderivatives
from tracemill.verification.answers.expressions.closed_forms import closed, same_series
from tracemill.verification.answers.expressions.latex import GROUPED, ParseError
from tracemill.verification.answers.expressions.parser import parse
from tracemill.verification.answers.expressions.relations import is_constant_difference
from tracemill.verification.answers.expressions.shapes import same_answers
from tracemill.verification.answers.expressions.tree import walk
from tracemill.verification.answers.expressions.values import Undecided


def same(gold: str, answer: str) -> bool | None:
    """Is `answer` the same mathematical object as `gold`? None if undecided.

    Never raises. Usually takes 0.1 ms, at most tens of milliseconds; with an integral, a limit or a long sum about half
    a second for each text (`closed_forms.MAX_CALLS`). Values that agree in 40 digits count as equal.
    """
    try:
        trees = parse(gold), parse(answer)
        if any(item.op == "antiderivative" for tree in trees for item in walk(tree)):
            return same_antiderivatives(*trees)
        if trees[0] == trees[1] or same_series(*trees):
            return True
        verdict = same_answers(*map(closed, trees))
        if verdict is False and (GROUPED.search(gold) or GROUPED.search(answer)):
            return _as_lists(gold, answer)
    except (ParseError, Undecided):
        return None
    return verdict


def differ_by_constant(gold: str, answer: str) -> bool:
    """Is the difference of two functions certainly a constant?"""
    try:
        return is_constant_difference(parse(gold), parse(answer))
    except (ParseError, Undecided):
        return False


def _as_lists(gold: str, answer: str) -> bool | None:
    """Return the verdict with "100,200" read as a list of two values.

    False if it cannot be a list.
    """
    try:
        trees = parse(gold, grouped=False), parse(answer, grouped=False)
    except ParseError:
        return False
    return same_answers(*trees)
