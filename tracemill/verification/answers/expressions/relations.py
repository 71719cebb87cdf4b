"""Equations, and inequalities that are no intervals, as answers."""

from fractions import Fraction

from tracemill.verification.answers.expressions.equality import approximate, equal, witness
from tracemill.verification.answers.expressions.intervals import FLIPPED
from tracemill.verification.answers.expressions.scalars import SCALARS, Verdict
from tracemill.verification.answers.expressions.tree import Node, names, negative

ZERO = Node("number", (), 0)


def relations(gold: Node, answer: Node) -> Verdict:
    """Equations, and inequalities that are no intervals."""
    if gold.op != "relation" or answer.op != "relation" or len(gold.args) != 2 or len(answer.args) != 2:
        return None
    if any(item.op not in SCALARS for node in (gold, answer) for item in node.args):
        return None
    difference, its_difference = _difference(gold), _difference(answer)
    ours, theirs = names(difference), names(its_difference)
    if not (ours and theirs) or not (ours <= theirs or theirs <= ours):
        return None
    kind, its_kind = str(gold.value), str(answer.value)
    factor = _proportional(difference, its_difference)
    if kind == its_kind == "=":
        if factor:
            return True
        return False if witness(difference, its_difference) or witness(its_difference, difference) else None
    if not factor or kind not in FLIPPED or its_kind not in FLIPPED:
        return None
    turned = its_kind if factor > 0 else FLIPPED[its_kind]
    return kind == turned


def _difference(relation: Node) -> Node:
    left, right = relation.args
    return Node("+", (left, negative(right)))


def _proportional(first: Node, second: Node) -> int:
    """The sign of the constant that `first` is times `second`; 0 if it is none, or not known."""
    point = {name: Fraction(89 + 31 * place, 97) for place, name in enumerate(sorted(names(first) | names(second)))}
    here, there = _placed(first, point), _placed(second, point)
    if equal(here, ZERO) is not False or equal(there, ZERO) is not False:
        return 0
    if not equal(Node("*", (first, there)), Node("*", (second, here))):
        return 0
    return 1 if approximate(here) * approximate(there) > 0 else -1


def _placed(node: Node, point: dict[str, Fraction]) -> Node:
    if node.op == "name":
        return Node("number", (), point[str(node.value)])
    return Node(node.op, tuple(_placed(item, point) for item in node.args), node.value)
