"""Compare sets of real numbers.

Sets are intervals, unions of intervals, and inequalities of one variable.
"""

from itertools import pairwise
from typing import Final

from tracemill.verification.answers.expressions.equality import approximate_value
from tracemill.verification.answers.expressions.scalars import (
    BOTTOM,
    INFINITE,
    SCALARS,
    TOP,
    Verdict,
    conjunction,
    same_scalars,
)
from tracemill.verification.answers.expressions.tree import Node, names
from tracemill.verification.answers.expressions.values import Undecided

FLIPPED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def inequality_interval(node: Node) -> tuple[str, Node] | None:
    """Return (x, interval) for an inequality of one variable; otherwise None.

    Inequalities are ``x < a``, ``a <= x < b`` and ``x != a``.
    """
    if node.op != "relation" or not all(item.op in SCALARS for item in node.args):
        return None
    kinds, items = str(node.value).split(), node.args
    if ">" in kinds[-1]:
        items, kinds = items[::-1], [FLIPPED.get(kind, kind) for kind in kinds[::-1]]
    if not set(kinds) <= {"<", "<="} and kinds != ["!="]:
        return None
    if kinds == ["!="]:
        (name, bound) = items if items[0].op == "name" else items[::-1]
        sides = (Node("tuple", (BOTTOM, bound), "()"), Node("tuple", (bound, TOP), "()"))
        return (str(name.value), Node("union", sides)) if name.op == "name" and not names(bound) else None
    if len(items) == 2:
        items, kinds = ((BOTTOM, *items), ["<", *kinds]) if items[0].op == "name" else ((*items, TOP), [*kinds, "<"])
    if len(items) != 3 or items[1].op != "name" or names(items[0]) or names(items[2]):
        return None
    brackets = ("[" if kinds[0] == "<=" else "(") + ("]" if kinds[1] == "<=" else ")")
    return str(items[1].value), Node("tuple", (items[0], items[2]), brackets)


#: (low, high, is low included, is high included)
Interval = tuple[Node, Node, bool, bool]


def intervals_of(node: Node) -> list[Interval]:
    """Return the intervals of a set of real numbers; [] if `node` is no such set."""
    items = node.args if node.op in ("union", "either") else (node,)
    intervals: list[Interval] = []
    for item in items:
        if item.op == "tuple" and len(item.args) == 2 and item.value != "<>":
            intervals.append((item.args[0], item.args[1], str(item.value)[0] == "[", str(item.value)[1] == "]"))
        elif item.op == "union" and (inner := intervals_of(item)):
            intervals += inner
        elif item.op == "set" and node.op == "union":
            intervals += [(element, element, True, True) for element in item.args]
        elif item.op in SCALARS and node.op == "either":
            intervals.append((item, item, True, True))
        else:
            return []
    has_length = any(interval[0] is not interval[1] for interval in intervals)
    return intervals if has_length and all(end.op in SCALARS for interval in intervals for end in interval[:2]) else []


def same_unions(gold: list[Interval], answer: list[Interval]) -> Verdict:
    """Are both the same set?

    Raises `Undecided` if intervals overlap or contain variables.
    """
    gold_sorted, answer_sorted = _sorted(gold), _sorted(answer)
    if len(gold_sorted) != len(answer_sorted):
        return False
    ends_verdict = conjunction(
        same_scalars(gold_end, answer_end)
        for gold_interval, answer_interval in zip(gold_sorted, answer_sorted, strict=True)
        for gold_end, answer_end in zip(gold_interval[:2], answer_interval[:2], strict=True)
    )
    same_brackets = all(
        gold_interval[2:] == answer_interval[2:]
        for gold_interval, answer_interval in zip(gold_sorted, answer_sorted, strict=True)
    )
    return ends_verdict if same_brackets or ends_verdict is not True else False


def _sorted(intervals: list[Interval]) -> list[Interval]:
    """Sort from low to high. Raises `Undecided` if two intervals have a common point."""
    bounds = sorted((_as_float(interval[0]), _as_float(interval[1]), index) for index, interval in enumerate(intervals))
    for low, high, index in bounds:
        if low > high or (low == high and not all(intervals[index][2:])):
            raise Undecided
    for (_, high, index), (low, _, next_index) in pairwise(bounds):
        is_touching = abs(high - low) <= 1e-9 * max(1.0, abs(high))
        if high > low + 1e-9 * max(1.0, abs(high)) or (
            is_touching and (intervals[index][3] or intervals[next_index][2])
        ):
            raise Undecided
    return [intervals[index] for _, _, index in bounds]


def _as_float(end: Node) -> float:
    return INFINITE[end] * float("inf") if end in INFINITE else approximate_value(end)
