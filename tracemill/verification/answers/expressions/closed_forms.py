r"""Replace infinite sums, long sums, definite integrals and limits by their values.

sympy finds the values: of an integral by an antiderivative of elementary rules and its limits at the bounds, of a limit
by Gruntz's algorithm, of a series by its hypergeometric form. A value counts only if it also agrees with a rough
numerical one (a quadrature, a partial sum, a point near the limit): an antiderivative may jump, and a computer algebra
system may err. The numerical value alone proves nothing.

The trees are small, and sympy may call `MAX_CALLS` functions for an answer, so no text costs much.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, Final

from tracemill.verification.answers.call_limit import TooManyCalls, call_limit
from tracemill.verification.answers.expressions.big_operators import BIG, substitute
from tracemill.verification.answers.expressions.equality import equal
from tracemill.verification.answers.expressions.scalars import INFINITE
from tracemill.verification.answers.expressions.sympy_trees import from_sympy, symbol, to_sympy
from tracemill.verification.answers.expressions.tree import Node, inverse, negative, total, walk
from tracemill.verification.answers.expressions.values import MAX_TERMS, Undecided, Undefined, context_of, evaluate

MAX_OPERATORS: Final = 4  # in one answer
MAX_NODES: Final = 40  # of a body that sympy reads
MAX_CALLS: Final = 250_000  # of Python functions, for all operators of one answer: about half a second
#: Relative difference between a value and its rough numerical value
MAX_DEVIATION: Final = {"int": 1e-6, "lim": 0.05, "sum": 0.05, "prod": 0.05}
CHECK_DIGITS: Final = 30
CHECK_TERMS: Final = 100
CHECK_SAMPLES: Final = 5  # terms of a long sum that its closed form is compared with
FAR: Final = (10**4, 10**3, 10**2, 30)  # distances at which a limit at infinity is checked


def closed(node: Node) -> Node:
    """Return `node` with the values of its operators. Raises `Undecided` if one has no value here."""
    n_operators = sum(item.op in BIG for item in walk(node))
    value = node if not n_operators else None if n_operators > MAX_OPERATORS else _closed_within_limit(node)
    if value is None:
        raise Undecided
    return value


def same_series(gold: Node, answer: Node) -> bool:
    """Have two infinite sums or products the same terms, whatever the numbers of the first terms?"""
    if gold.op != answer.op or gold.op not in ("sum", "prod") or {gold.args[1].op, answer.args[1].op} != {"infinity"}:
        return False
    last = Node("name", (), "last")
    shift = total([answer.args[0], negative(gold.args[0])])
    partial_sums = (
        Node(node.op, (node.args[0], upper, node.args[2]), node.value)
        for node, upper in ((gold, last), (answer, total([last, shift])))
    )
    return equal(*partial_sums) is True


@lru_cache(64)
def _closed_within_limit(node: Node) -> Node | None:
    if any(item.op in ("int", "lim", "infinity") for item in walk(node)):
        _warm_up()
    try:
        with call_limit(MAX_CALLS):
            return _closed(node)
    except MemoryError:
        raise
    except (Exception, TooManyCalls):  # sympy can raise anything
        return None


def _closed(node: Node) -> Node:
    node = Node(node.op, tuple(map(_closed, node.args)), node.value)
    if node.op in ("int", "lim") or (node.op in ("sum", "prod") and not _is_short(node)):
        if len(list(walk(node))) > MAX_NODES:
            raise Undecided
        return _CALCULATIONS[node.op](node)
    return node


def _is_short(node: Node) -> bool:
    lower, upper = node.args[:2]
    if any(item.op in ("name", "bound") for bound in (lower, upper) for item in walk(bound)):
        return upper.op != "infinity"
    return upper not in INFINITE and _integer(upper) - _integer(lower) < MAX_TERMS[0]


def _integer(node: Node) -> int:
    value = evaluate(node, {}, None)
    if value.denominator != 1:
        raise Undecided
    return int(value)


@cache
def _warm_up() -> None:
    """Import what sympy imports at its first use, which can take longer than the limit."""
    x, one = Node("bound", (), 1), Node("number", (), 1)
    _integral(Node("int", (x._replace(op="number", value=0), one, x), 1))
    _limit(Node("lim", (one, Node("side"), x), 1))
    _series(Node("sum", (one, Node("infinity"), inverse(Node("^", (Node("number", (), 2), x)))), 1))


def _integral(node: Node) -> Node:
    from sympy import Integral

    lower, upper, body = node.args
    variable = Node("bound", (), node.value)
    x = symbol(variable)
    antiderivative = _antiderivative(to_sympy(body, {variable: x}), x)
    if antiderivative.has(Integral):
        raise Undecided
    at_end, at_start = (
        from_sympy(_at_bound(antiderivative, x, to_sympy(bound, {}), side))
        for bound, side in ((upper, "-"), (lower, "+"))
    )
    value = total([at_end, negative(at_start)])
    _check(value, node, lambda function, point, context: _quadrature(node, function, point, context))
    return value


def _antiderivative(integrand: Any, x: Any) -> Any:
    from sympy import denom, factor_list, together
    from sympy.integrals.manualintegrate import manualintegrate
    from sympy.integrals.rationaltools import ratint

    if not integrand.is_rational_function(x):
        return manualintegrate(integrand, x)
    factors = factor_list(denom(together(integrand)), x)[1]
    if any(factor.as_poly(x).degree() > 2 for factor, _ in factors):
        raise Undecided  # sums over the roots of a cubic take minutes
    return ratint(integrand, x)


def _at_bound(antiderivative: Any, x: Any, bound: Any, side: str) -> Any:
    from sympy import limit

    value = antiderivative.subs(x, bound)
    return value if value.is_finite else limit(antiderivative, x, bound, side)


def _quadrature(node: Node, function: Callable[[Any], Any], point: dict[str, Any], context: Any) -> Any:
    start, end = (
        INFINITE[bound] * context.inf if bound in INFINITE else context.convert(evaluate(bound, point, context))
        for bound in node.args[:2]
    )

    def integrand(x: Any) -> Any:
        try:
            return function(x)
        except Undefined:
            raise
        except Undecided:
            return context.zero  # too small for `evaluate`, or too large at one of the bounds

    return context.quad(integrand, [start, end])


def _limit(node: Node) -> Node:
    from sympy import limit

    at, side, body = node.args
    variable = Node("bound", (), node.value)
    x = symbol(variable, positive=True) if at.op == "infinity" else symbol(variable)
    expression = to_sympy(body, {variable: x})
    sides = [str(side.value)] if side.value else ["-"] if at in INFINITE else ["-", "+"]
    values = {from_sympy(limit(expression, x, to_sympy(at, {}), direction)) for direction in sides}
    value = values.pop()
    if values:
        raise Undecided  # the two sides differ
    _check(value, node, lambda function, point, context: _nearby(at, sides[0], function, point, context))
    return value


def _nearby(at: Node, side: str, function: Callable[[Any], Any], point: dict[str, Any], context: Any) -> Any:
    for distance in FAR:
        with suppress(Undecided):
            if at in INFINITE:
                return function(INFINITE[at] * context.mpf(distance))
            step = context.mpf(1) / distance
            return function(evaluate(at, point, context) + (step if side == "+" else -step))
    raise Undecided


def _series(node: Node) -> Node:
    from sympy import Product, Sum, oo

    lower, upper, body = node.args
    variable = Node("bound", (), node.value)
    k = symbol(variable, integer=True)
    last = Node("name", (), "last")
    end = oo if upper.op == "infinity" else symbol(last, integer=True, positive=True)
    operator = Sum if node.op == "sum" else Product
    value = from_sympy(operator(to_sympy(body, {variable: k}), (k, to_sympy(lower, {}), end)).doit())
    if end != oo:
        short = Node(node.op, (lower, Node("number", (), _integer(lower) + CHECK_SAMPLES), body), node.value)
        if equal(short, substitute(value, last, short.args[1])) is not True:
            raise Undecided
        return substitute(value, last, upper)
    first = _integer(lower)
    partial = Node(node.op, (lower, Node("number", (), first + CHECK_TERMS), body), node.value)
    _check(value, node, lambda function, point, context: evaluate(partial, point, context))
    return value


def _check(value: Node, node: Node, estimate: Callable[[Callable[[Any], Any], dict[str, Any], Any], Any]) -> None:
    """Raise `Undecided` unless `value` is near the estimate, with numbers for the other variables."""
    context = context_of(CHECK_DIGITS)
    others = [item for item in walk(node) if item.op == "name" or (item.op == "bound" and item.value != node.value)]
    point = {str(item.value): context.mpf(f"0.{37 + 12 * index}") for index, item in enumerate(dict.fromkeys(others))}
    body = node.args[-1]
    near = context.convert(estimate(lambda x: evaluate(body, {**point, str(node.value): x}, context), point, context))
    if value in INFINITE:
        is_near = node.op == "lim" and near * INFINITE[value] > 10
    else:
        exact = context.convert(evaluate(value, point, context))
        is_near = abs(exact - near) <= MAX_DEVIATION[node.op] * max(abs(exact), abs(near), 1 if node.op == "lim" else 0)
    if isinstance(near, context.mpc) or not is_near:
        raise Undecided


_CALCULATIONS: Final = {"int": _integral, "lim": _limit, "sum": _series, "prod": _series}
