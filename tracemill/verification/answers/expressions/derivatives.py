"""Differentiate a scalar tree, to compare an antiderivative with its integrand."""

from collections.abc import Callable
from typing import Final

from tracemill.verification.answers.expressions.tree import Node, inverse, names, negative, product, total
from tracemill.verification.answers.expressions.values import Undecided

_ONE, _TWO = Node("number", (), 1), Node("number", (), 2)


def derivative(node: Node, name: str) -> Node:
    """Return the derivative of `node` by the variable `name`. Raises `Undecided` for operations without a rule."""
    if node.op == "name" and node.value == name:
        return _ONE
    if name not in names(node):
        return Node("number", (), 0)
    inner = node.args[0] if node.args else node
    match node.op:
        case "+":
            return total([derivative(term, name) for term in node.args])
        case "*":
            terms = []
            for index, factor in enumerate(node.args):
                others = node.args[:index] + node.args[index + 1 :]
                terms.append(product([derivative(factor, name), *others]))
            return total(terms)
        case "neg":
            return negative(derivative(inner, name))
        case "inverse":
            return negative(product([derivative(inner, name), inverse(_power(inner, _TWO))]))
        case "^":
            return _of_power(inner, node.args[1], name)
        case "root":
            degree, radicand = node.args
            return product([derivative(radicand, name), node, inverse(product([degree, radicand]))])
        case "abs":
            return product([derivative(inner, name), inner, inverse(node)])
        case "call" if node.value in _RULES:
            return product([derivative(inner, name), _RULES[str(node.value)](inner)])
    raise Undecided


def _of_power(base: Node, exponent: Node, name: str) -> Node:
    if name not in names(exponent):
        lowered = _power(base, total([exponent, negative(_ONE)]))
        return product([exponent, lowered, derivative(base, name)])
    if name in names(base):
        raise Undecided
    return product([derivative(exponent, name), _call("ln", base), _power(base, exponent)])


def _power(base: Node, exponent: Node) -> Node:
    return Node("^", (base, exponent))


def _call(name: str, argument: Node) -> Node:
    return Node("call", (argument,), name)


def _square(argument: Node) -> Node:
    return _power(argument, _TWO)


_RULES: Final[dict[str, Callable[[Node], Node]]] = {
    "sin": lambda x: _call("cos", x),
    "cos": lambda x: negative(_call("sin", x)),
    "tan": lambda x: inverse(_square(_call("cos", x))),
    "cot": lambda x: negative(inverse(_square(_call("sin", x)))),
    "sec": lambda x: product([_call("sec", x), _call("tan", x)]),
    "csc": lambda x: negative(product([_call("csc", x), _call("cot", x)])),
    "sinh": lambda x: _call("cosh", x),
    "cosh": lambda x: _call("sinh", x),
    "tanh": lambda x: inverse(_square(_call("cosh", x))),
    "exp": lambda x: _call("exp", x),
    "ln": inverse,
    "arctan": lambda x: inverse(total([_ONE, _square(x)])),
    "arcsin": lambda x: inverse(Node("root", (_TWO, total([_ONE, negative(_square(x))])))),
    "arccos": lambda x: negative(inverse(Node("root", (_TWO, total([_ONE, negative(_square(x))]))))),
}
