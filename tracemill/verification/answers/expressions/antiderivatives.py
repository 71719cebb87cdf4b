r"""Compare indefinite integrals: ``\int 2x dx`` is x² + C, because the derivative of x² + C is 2x."""

from tracemill.verification.answers.expressions.derivatives import derivative
from tracemill.verification.answers.expressions.equality import equal
from tracemill.verification.answers.expressions.scalars import SCALARS, Verdict
from tracemill.verification.answers.expressions.tree import Node, total, walk

_CONSTANTS = [Node("name", (), letter) for letter in ("C", "c", "K", "k")]


def same_antiderivatives(gold: Node, answer: Node) -> Verdict:
    """Are both the same functions, if one or both are an indefinite integral? Raises `Undecided`."""
    functions = [_without_constant(node) for node in (gold, answer)]
    integrals = [node for node in functions if node.op == "antiderivative"]
    if not integrals:
        return None
    integrand, variable = integrals[0].args
    if len(integrals) == 2:
        return True if integrals[1].args[1] == variable and equal(integrand, integrals[1].args[0]) else None
    node, function = (answer, functions[1]) if functions[0] in integrals else (gold, functions[0])
    if function == node or any(item.op not in SCALARS for item in walk(function)):
        return None  # without a constant of integration it is one function of many
    return equal(derivative(function, str(variable.value)), integrand)


def _without_constant(node: Node) -> Node:
    """Return `node` without a constant of integration as its last term."""
    if node.op == "+" and node.args[-1] in _CONSTANTS:
        return total(list(node.args[:-1]))
    return node
