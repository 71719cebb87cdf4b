"""Compare equations, and inequalities that are no intervals."""

from fractions import Fraction

from tracemill.verification.answers.expressions.equality import approximate_value, equal, witness
from tracemill.verification.answers.expressions.intervals import FLIPPED
from tracemill.verification.answers.expressions.scalars import SCALARS, Verdict, same_scalars
from tracemill.verification.answers.expressions.tree import Node, names, negative

ZERO = Node("number", (), 0)


def same_relations(gold: Node, answer: Node) -> Verdict:
    """Are two equations, or two inequalities, the same?"""
    if gold.op != "relation" or answer.op != "relation" or len(gold.args) != 2 or len(answer.args) != 2:
        return None
    if any(item.op not in SCALARS for node in (gold, answer) for item in node.args):
        return None
    gold_difference, answer_difference = _difference(gold), _difference(answer)
    gold_names, answer_names = names(gold_difference), names(answer_difference)
    if gold_names == answer_names and _same_sides(gold, answer):
        return True
    if _is_constant(gold_difference) or _is_constant(answer_difference):
        return None  # it always holds, or never: that makes two statements neither equal nor different
    if not (gold_names <= answer_names or answer_names <= gold_names):
        return None
    gold_kind, answer_kind = str(gold.value), str(answer.value)
    factor = _sign_of_factor(gold_difference, answer_difference)
    if gold_kind == answer_kind == "=":
        if factor:
            return True
        return (
            False
            if witness(gold_difference, answer_difference) or witness(answer_difference, gold_difference)
            else None
        )
    if not factor or gold_kind not in FLIPPED or answer_kind not in FLIPPED:
        return None
    answer_direction = answer_kind if factor > 0 else FLIPPED[answer_kind]
    return gold_kind == answer_direction


def _same_sides(gold: Node, answer: Node) -> bool:
    """Have both the same two sides, in order, or turned round with the sign between them?"""
    sides = answer.args
    if gold.value != answer.value or gold.value == "=":
        turned = same_scalars(gold.args[0], sides[1]) and same_scalars(gold.args[1], sides[0])
        if turned and gold.value == FLIPPED.get(str(answer.value), answer.value):
            return True
    return gold.value == answer.value and all(
        same_scalars(*pair) is True for pair in zip(gold.args, sides, strict=True)
    )


def _is_constant(difference: Node) -> bool:
    """Has `difference` the same value at three points?"""
    variables = sorted(names(difference))
    values = [
        _substitute(difference, {name: Fraction(start + 31 * index, 97) for index, name in enumerate(variables)})
        for start in (89, 211, 401)
    ]
    return all(equal(values[0], value) is not False for value in values[1:])


def is_constant_difference(first: Node, second: Node) -> bool:
    """Do two scalars of the same variables differ by a constant? Raises `Undecided`."""
    if not names(first) or names(first) != names(second) or not {first.op, second.op} <= SCALARS:
        return False
    difference = Node("+", (first, negative(second)))
    variables = sorted(names(difference))
    values = [
        _substitute(difference, {name: Fraction(start + 31 * index, 97) for index, name in enumerate(variables)})
        for start in (89, 131, 211, 307)
    ]
    return all(equal(values[0], value) is True for value in values[1:])


def _difference(relation: Node) -> Node:
    left, right = relation.args
    return Node("+", (left, negative(right)))


def _sign_of_factor(first: Node, second: Node) -> int:
    """Return the sign of the constant c with `first` = c · `second`.

    0 if there is no such constant, or if it is unknown.
    """
    point = {name: Fraction(89 + 31 * index, 97) for index, name in enumerate(sorted(names(first) | names(second)))}
    first_value, second_value = _substitute(first, point), _substitute(second, point)
    if equal(first_value, ZERO) is not False or equal(second_value, ZERO) is not False:
        return 0
    if not equal(Node("*", (first, second_value)), Node("*", (second, first_value))):
        return 0
    return 1 if approximate_value(first_value) * approximate_value(second_value) > 0 else -1


def _substitute(node: Node, point: dict[str, Fraction]) -> Node:
    if node.op == "name":
        return Node("number", (), point[str(node.value)])
    return Node(node.op, tuple(_substitute(item, point) for item in node.args), node.value)
