"""Translate trees to sympy and back. Only nodes are translated, never text: sympy's parsers execute what they read."""

from fractions import Fraction
from typing import Any, Final

from tracemill.verification.answers.expressions.tree import Node, inverse, product, total
from tracemill.verification.answers.expressions.values import Undecided

MAX_INTEGER: Final = 1_000  # of a tree that sympy reads: it expands powers and computes factorials
MAX_EXPONENT: Final = 20
_FUNCTIONS: Final = {
    "ln": "log", "exp": "exp", "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "zeta": "zeta",
}  # fmt: skip
_NAMES: Final = {theirs: ours for ours, theirs in _FUNCTIONS.items()}
_CONSTANTS: Final = {"Pi": "pi", "Exp1": "e", "ImaginaryUnit": "i"}


def symbol(node: Node, **assumptions: bool) -> Any:
    """Return the symbol of a name or of a bound variable. Without assumptions it stands for a real number."""
    from sympy import Symbol

    return Symbol(f"{node.op} {node.value}", **(assumptions or {"real": True}))


def to_sympy(node: Node, bound: dict[Node, Any]) -> Any:
    """Return the sympy expression of a scalar; `bound` has the symbols of bound variables. Raises `Undecided`."""
    import sympy

    if node.op in ("name", "bound"):
        return bound.get(node) or symbol(node)
    if node.op in ("number", "decimal") and isinstance(node.value, int | Fraction):
        value = Fraction(node.value)
        if max(abs(value.numerator), value.denominator) > MAX_INTEGER:
            raise Undecided
        return sympy.Rational(value.numerator, value.denominator)
    args = [to_sympy(item, bound) for item in node.args]
    match node.op:
        case "infinity":
            return sympy.oo
        case "constant":
            return {"pi": sympy.pi, "e": sympy.E, "i": sympy.I}[str(node.value)]
        case "+":
            return sympy.Add(*args)
        case "*":
            return sympy.Mul(*args)
        case "neg":
            return -args[0]
        case "inverse" if args[0] != 0:
            return 1 / args[0]
        case "^" if not args[1].is_number or abs(args[1]) <= MAX_EXPONENT:
            return args[0] ** args[1]
        case "root" if args[0] == 2 or args[1].is_nonnegative:
            return args[1] ** (1 / args[0])
        case "!":
            return sympy.factorial(args[0])
        case "binomial":
            return sympy.binomial(*args)
        case "abs":
            return abs(args[0])
        case "call" if node.value in _FUNCTIONS:
            return getattr(sympy, _FUNCTIONS[str(node.value)])(args[0])
    raise Undecided


def from_sympy(value: Any) -> Node:
    """Return the tree of a sympy expression. Raises `Undecided` for what trees cannot hold."""
    name = type(value).__name__
    if value.is_Rational:
        number = Fraction(int(value.p), int(value.q))
        return Node("number", (), number.numerator if number.denominator == 1 else number)
    if value.is_Symbol:
        op, _, text = value.name.partition(" ")
        return Node(op, (), int(text) if op == "bound" else text)
    if name in _CONSTANTS:
        return Node("constant", (), _CONSTANTS[name])
    if name in ("Infinity", "NegativeInfinity"):
        return Node("infinity") if name == "Infinity" else Node("neg", (Node("infinity"),))
    args = [from_sympy(item) for item in value.args]
    match name:
        case "Add":
            return total(args)
        case "Mul":
            return product(args)
        case "Pow":
            return inverse(args[0]) if value.args[1] == -1 else Node("^", tuple(args))
        case "factorial":
            return Node("!", tuple(args))
        case "binomial":
            return Node("binomial", tuple(args))
        case "Abs":
            return Node("abs", tuple(args))
    if name in _NAMES and len(args) == 1:
        return Node("call", tuple(args), _NAMES[name])
    raise Undecided
