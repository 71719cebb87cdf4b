"""Compare two scalars, with their units, percent signs, degrees and bases."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from tracemill.verification.answers.expressions.equality import approximate_value, equal
from tracemill.verification.answers.expressions.tree import Node, names, negative, walk

#: True: the same, False: different, None: undecided
Verdict = bool | None

MAX_ROUNDING: Final = 0.01  # relative difference that rounding can cause: 0.33 for 1/3
#: Letters that may be a unit after a number (12 m), a constant of integration, or the imaginary unit j
AMBIGUOUS_LETTERS: Final = frozenset("mgshlLVWNJKCFAdtcj")
TOP: Final = Node("infinity")
BOTTOM: Final = negative(TOP)
INFINITE: Final = {TOP: 1, BOTTOM: -1}
SCALARS: Final = frozenset(
    ["number", "decimal", "name", "constant", "infinity", "+", "*", "neg", "inverse", "^", "root", "!", "binomial",
     "abs", "call", "log", "sum", "prod", "unit", "degree", "percent", "based"]
)  # fmt: skip


def same_scalars(gold: Node, answer: Node) -> Verdict:
    """Are two scalars the same? A unit that only one of them has does not count."""
    if gold == answer:
        return True
    ops = gold.op, answer.op
    if "percent" in ops or "based" in ops:
        return _same_percent_or_base(gold, answer)
    if "unit" in ops:
        if "degree" in ops or (ops == ("unit", "unit") and gold.value != answer.value):
            return None
        return same_scalars(*(node.args[0] if node.op == "unit" else node for node in (gold, answer)))
    if "degree" in ops:
        return _same_degrees(gold, answer)
    if gold in INFINITE or answer in INFINITE:
        return False if _is_finite(gold) or _is_finite(answer) or {gold, answer} == set(INFINITE) else None
    gold_names, answer_names = names(gold), names(answer)
    if not (gold_names <= answer_names or answer_names <= gold_names):
        return None
    verdict = equal(gold, answer)
    if (
        verdict is False
        and gold_names != answer_names
        and ((gold_names ^ answer_names) <= AMBIGUOUS_LETTERS or "name" in ops)
    ):
        return None  # a letter may be a unit, or the label of a choice
    if verdict is False and _may_be_rounded(gold, answer):
        return None
    return verdict


def _is_finite(node: Node) -> bool:
    return node not in INFINITE and all(item.op not in ("infinity", "name") for item in walk(node))


def _same_percent_or_base(gold: Node, answer: Node) -> Verdict:
    """Compare percentages, and numbers in a base."""
    if gold.op == answer.op == "percent":
        return same_scalars(gold.args[0], answer.args[0])
    if "percent" in (gold.op, answer.op):
        return None
    values = [_decimal_value(node) if node.op == "based" else node for node in (gold, answer)]
    digits = [node.args[0] if node.op == "based" else node for node in (gold, answer)]
    if same_scalars(*values) is False and (gold.op == answer.op or same_scalars(*digits) is False):
        return False
    return None  # the question may ask for another base, or for no base


def _decimal_value(node: Node) -> Node:
    digits, base = (str(item.value) for item in node.args)
    return Node("number", (), int(digits, int(base)))


def _same_degrees(gold: Node, answer: Node) -> Verdict:
    if gold.op == answer.op:
        return same_scalars(gold.args[0], answer.args[0])
    angle, other = (gold, answer) if gold.op == "degree" else (answer, gold)
    in_radians = same_scalars(Node("*", (angle,)), other)
    if any(node.op == "constant" for node in walk(angle)):
        return in_radians
    bare = same_scalars(angle.args[0], other)  # a bare 30 may be degrees; π/6 is 30°
    return True if True in (bare, in_radians) else None if None in (bare, in_radians) else False


def _may_be_rounded(gold: Node, answer: Node) -> bool:
    """Is one a decimal, and the other an endless decimal near it?"""
    has_decimal = [any(item.op == "decimal" for item in walk(node)) for node in (gold, answer)]
    if has_decimal[0] == has_decimal[1]:
        return False
    exact = answer if has_decimal[0] else gold
    if exact.op == "number" and isinstance(exact.value, int | Fraction) and _is_finite_decimal(exact.value):
        return False
    if names(gold) or names(answer):
        return bool(names(gold) and names(answer))
    first, second = approximate_value(gold), approximate_value(answer)
    return abs(first - second) <= MAX_ROUNDING * max(abs(first), abs(second))


def _is_finite_decimal(value: int | Fraction) -> bool:
    return pow(10, value.denominator.bit_length(), value.denominator) == 0 or value.denominator == 1


def conjunction(verdicts: Iterable[Verdict]) -> Verdict:
    """Return False if any verdict is False, otherwise None if any is None."""
    distinct = set(verdicts)
    return False if False in distinct else None if None in distinct else True
