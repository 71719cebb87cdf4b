"""Two scalars, with what may stand around them: units, percent, degrees, a base."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from tracemill.verification.answers.expressions.equality import approximate, equal
from tracemill.verification.answers.expressions.tree import Node, names, negative, walk

#: same, different, not decided
Verdict = bool | None

ROUNDED: Final = 0.01  # relative difference that may be rounding: 0.33 for 1/3
#: Letters that may be a unit behind a number (12 m), a constant of integration, or an engineer's i
OPEN_LETTERS: Final = frozenset("mgshlLVWNJKCFAdtcj")
TOP: Final = Node("infinity")
BOTTOM: Final = negative(TOP)
INFINITE: Final = {TOP: 1, BOTTOM: -1}
SCALARS: Final = frozenset(
    ["number", "decimal", "name", "constant", "infinity", "+", "*", "neg", "inverse", "^", "root", "!", "binomial",
     "abs", "call", "log", "unit", "degree", "percent", "based"]
)  # fmt: skip


def scalars(gold: Node, answer: Node) -> Verdict:
    """Are two scalars the same? A unit that only one of them has does not matter."""
    if gold == answer:
        return True
    marks = gold.op, answer.op
    if "percent" in marks or "based" in marks:
        return _marked(gold, answer)
    if "unit" in marks:
        if "degree" in marks or (marks == ("unit", "unit") and gold.value != answer.value):
            return None
        return scalars(*(node.args[0] if node.op == "unit" else node for node in (gold, answer)))
    if "degree" in marks:
        return _degrees(gold, answer)
    if gold in INFINITE or answer in INFINITE:
        return False if _is_finite(gold) or _is_finite(answer) or {gold, answer} == set(INFINITE) else None
    ours, theirs = names(gold), names(answer)
    if not (ours <= theirs or theirs <= ours):
        return None
    verdict = equal(gold, answer)
    if verdict is False and ours != theirs and ((ours ^ theirs) <= OPEN_LETTERS or "name" in marks):
        return None  # a letter may be a unit, or by itself the label of a choice
    if verdict is False and _may_be_rounded(gold, answer):
        return None
    return verdict


def _is_finite(node: Node) -> bool:
    return node not in INFINITE and all(item.op not in ("infinity", "name") for item in walk(node))


def _marked(gold: Node, answer: Node) -> Verdict:
    """Percentages, and numbers written to a base."""
    if gold.op == answer.op == "percent":
        return scalars(gold.args[0], answer.args[0])
    if "percent" in (gold.op, answer.op):
        return None
    values = [_based(node) if node.op == "based" else node for node in (gold, answer)]
    digits = [node.args[0] if node.op == "based" else node for node in (gold, answer)]
    if scalars(*values) is False and (gold.op == answer.op or scalars(*digits) is False):
        return False
    return None  # the same number to another base, or without its base, may not be what was asked for


def _based(node: Node) -> Node:
    digits, base = (str(item.value) for item in node.args)
    return Node("number", (), int(digits, int(base)))


def _degrees(gold: Node, answer: Node) -> Verdict:
    if gold.op == answer.op:
        return scalars(gold.args[0], answer.args[0])
    angle, other = (gold, answer) if gold.op == "degree" else (answer, gold)
    in_radians = scalars(Node("*", (angle,)), other)
    if any(node.op == "constant" for node in walk(angle)):
        return in_radians
    bare = scalars(angle.args[0], other)  # 30 alone may be degrees, π/6 is 30°
    return True if True in (bare, in_radians) else None if None in (bare, in_radians) else False


def _may_be_rounded(gold: Node, answer: Node) -> bool:
    """Is one a decimal and the other near it, and no finite decimal itself?"""
    decimal = [any(item.op == "decimal" for item in walk(node)) for node in (gold, answer)]
    if decimal[0] == decimal[1]:
        return False
    exact = answer if decimal[0] else gold
    if exact.op == "number" and isinstance(exact.value, int | Fraction) and _is_finite_decimal(exact.value):
        return False
    if names(gold) or names(answer):
        return bool(names(gold) and names(answer))
    first, second = approximate(gold), approximate(answer)
    return abs(first - second) <= ROUNDED * max(abs(first), abs(second))


def _is_finite_decimal(value: int | Fraction) -> bool:
    return pow(10, value.denominator.bit_length(), value.denominator) == 0 or value.denominator == 1


def every(verdicts: Iterable[Verdict]) -> Verdict:
    """False if one is False, else None if one is None."""
    found = set(verdicts)
    return False if False in found else None if None in found else True
