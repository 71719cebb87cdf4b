"""The tree of a mathematical answer, and constructors of its nodes."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple


class Node(NamedTuple):
    r"""An operation on `args`. Its `op` is one of these:

    scalar: number, decimal (it has a point), name, constant (all with `value`), infinity, ``+`` and ``*`` (two or more
      args), neg, inverse, ``^``, root (index, radicand), ``!``, binomial, abs, call (`value` is the function), log
      (base, argument), pm and mp (``\pm``);
    with a bound variable: sum, prod and int (lower bound, upper bound, body), lim (point, side, body), all with the
      level of their variable as `value`; bound (`value` is the level); antiderivative (body, name);
    marked scalar: unit (`value`), degree, percent, based (digits, base); ratio;
    shape: tuple (`value` holds its brackets), list, either (joined by "or"), set, union, matrix (rows), row, empty;
    relation: `value` holds the operators between the args, separated by spaces (``=``, ``< <=``, ``in`` …).
    """

    op: str
    args: tuple["Node", ...] = ()
    value: str | int | Fraction = ""


def names(node: Node) -> frozenset[str]:
    """Return the names of the variables in `node`."""
    return frozenset(str(leaf.value) for leaf in walk(node) if leaf.op == "name")


def walk(node: Node) -> Iterator[Node]:
    """Yield every node of the tree."""
    stack = [node]
    while stack:
        item = stack.pop()
        yield item
        stack += item.args


def number(text: str) -> Node:
    """Make a number from digits; a decimal point makes it a decimal."""
    return Node("decimal", (), Fraction(text)) if "." in text else Node("number", (), int(text))


def repeating(text: str) -> Node:
    r"""Make a number from a repeating decimal, ``0.1\overline{6}``."""
    start, period = text.replace("}", "").split(r"\overline")
    period = period.strip("{ ")
    integer_part, _, digits = start.partition(".")
    shift = 10 ** len(digits)
    value = Fraction(int(integer_part + digits or "0"), shift) + Fraction(int(period), shift * (10 ** len(period) - 1))
    return Node("number", (), value)


def negative(node: Node) -> Node:
    """Make -`node`."""
    if node.op in ("number", "decimal") and not isinstance(node.value, str):
        return Node(node.op, (), -node.value)
    if node.op in ("matrix", "row"):
        return Node(node.op, tuple(map(negative, node.args)))
    return node.args[0] if node.op == "neg" else Node("neg", (node,))


def total(terms: list[Node]) -> Node:
    """Make a sum. Matrices of one shape are added cell by cell."""
    if len(terms) == 1:
        return terms[0]
    if (
        all(term.op == "matrix" for term in terms)
        and len({(len(term.args), len(term.args[0].args)) for term in terms}) == 1
    ):
        rows = zip(*(term.args for term in terms), strict=True)
        cells = (zip(*(row.args for row in lines), strict=True) for lines in rows)
        return Node("matrix", tuple(Node("row", tuple(total(list(cell)) for cell in line)) for line in cells))
    return Node("+", tuple(terms))


def inverse(node: Node) -> Node:
    """Make 1 / `node`."""
    return Node("inverse", (node,))


def product(factors: list[Node]) -> Node:
    """Make a product.

    A fraction of integers becomes a number. The factors before a matrix, and a divisor after it, multiply each cell.
    """
    if len(factors) == 1:
        return factors[0]
    at = next((index for index, factor in enumerate(factors) if factor.op == "matrix"), None)
    if at is not None and all(factor.op == "inverse" for factor in factors[at + 1 :]):
        others = [*factors[:at], *factors[at + 1 :]]
        rows = (Node("row", tuple(product([*others, cell]) for cell in row.args)) for row in factors[at].args)
        return Node("matrix", tuple(rows))
    if len(factors) == 2:
        left, right = factors
        if right.op == "inverse" and right.args[0].op == left.op == "number":
            upper, lower = left.value, right.args[0].value
            if isinstance(lower, int | Fraction) and not isinstance(upper, str) and lower != 0:
                value = Fraction(upper) / lower
                return Node("number", (), value.numerator if value.denominator == 1 else value)
    return Node("*", tuple(factors))
