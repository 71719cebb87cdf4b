"""Decide whether two trees have the same value everywhere.

Rational values are compared exactly. With roots, π, e, i or functions, both trees are evaluated with 50 and again with
100 digits. Values are proven different if they differ by far more than the two precisions do. Values that agree in 40
digits at both precisions count as equal. This is safe for the small constants of answers, but it is no proof.

Trees with variables are compared at random points (Schwartz 1980, Zippel 1979). Two different polynomials of degree d
agree at a random point out of N with probability at most d/N. The points depend only on the two trees, so verdicts
repeat. The bounds of a sum or product get integers, and more points.
"""

from collections.abc import Mapping
from fractions import Fraction
from random import Random
from typing import Any, Final

from tracemill.verification.answers.expressions.tree import Node, names, walk
from tracemill.verification.answers.expressions.values import (
    LOG,
    Inexact,
    Undecided,
    Undefined,
    Value,
    context_of,
    evaluate,
)

DIGITS: Final = (50, 100)
MAX_EQUAL: Final = 10**-40  # relative difference of equal values
MIN_DIFFERENT: Final = 10**-20  # relative difference of different values
MAX_TRIES: Final = 16  # points drawn
MIN_POINTS: Final = 4  # points at which both trees have a value


def equal(first: Node, second: Node) -> bool | None:
    """Do two scalars have the same value wherever both have one? None if undecided."""
    if not any(_is_bare_log(node) for side in (first, second) for node in walk(side)):
        return _equal(first, second, 10)
    verdicts = {_equal(first, second, base) for base in (10, None)}  # log has the base 10, or e
    return verdicts.pop() if len(verdicts) == 1 else None


def approximate_value(node: Node) -> float:
    """Return the value of a real constant as a float. Raises `Undecided`."""
    context = context_of(DIGITS[0])
    try:
        value = evaluate(node, {LOG: 10}, context)
        if isinstance(value, context.mpc):
            raise Undecided
        return float(value)
    except (ArithmeticError, ValueError, TypeError) as error:
        raise Undecided from error


def witness(first: Node, second: Node) -> bool:
    """Is there a real point where `first` is zero and `second` is certainly not?

    Each is (left - right) of an equation.
    """
    context = context_of(DIGITS[0])
    rng = Random(repr((first, second)))
    variables = sorted(names(first))
    for attempt in range(4):
        point = {name: context.mpf(rng.uniform(-3, 3)) for name in variables + sorted(names(second))} | {LOG: 10}
        variable = variables[attempt % len(variables)] if variables else ""
        start = point.get(variable, context.zero)

        def value_along(value: Value, variable: str = variable, point: dict[str, Value] = point) -> Value:
            return context.convert(evaluate(first, point | {variable: value}, context))

        try:
            root = context.findroot(value_along, start, maxsteps=25)
            if not isinstance(root, context.mpc) and abs(evaluate(second, point | {variable: root}, context)) > 1e-6:
                return True
        except (Undecided, ArithmeticError, ValueError, TypeError):
            continue
    return False


def _is_bare_log(node: Node) -> bool:
    return node.op == "call" and node.value == "log"


def _equal(first: Node, second: Node, base: int | None) -> bool | None:
    variables = sorted(names(first) | names(second))
    if not variables:
        try:
            return _equal_at({}, first, second, base)
        except (_OneSided, Undecided):
            return None
    rng = Random(repr((first, second)))
    is_rational = all(_is_rational(node) for side in (first, second) for node in walk(side))
    integers = _in_bounds(first) | _in_bounds(second)
    min_points = MAX_TRIES if integers or (len(variables) > 2 and not is_rational) else MIN_POINTS
    n_points, is_doubtful = 0, False
    for attempt in range(MAX_TRIES):
        if attempt - n_points > MAX_TRIES // 2:
            break
        point = _point(variables, rng, is_rational, attempt)
        point |= {name: 2 * attempt + rng.randint(1, 2) for name in variables if name in integers}
        try:
            verdict = _equal_at(point, first, second, base)
        except _OneSided:
            is_doubtful = True
            continue
        except Undecided:
            continue
        if verdict is False and (is_rational or min(point.values()) > 0):
            return False
        # Different only for negative values, as x and √x²: the question decides which values x may have.
        is_doubtful = is_doubtful or not verdict
        n_points += 1
        if n_points >= min_points:
            break
    needed = MAX_TRIES // 2 if integers else MIN_POINTS
    return True if n_points >= needed and not is_doubtful else None


def _in_bounds(node: Node) -> frozenset[str]:
    """Return the names in the bounds of sums and products."""
    bounds = (bound for item in walk(node) if item.op in ("sum", "prod") for bound in item.args[:2])
    return frozenset(name for bound in bounds for name in names(bound))


def _point(variables: list[str], rng: Random, is_rational: bool, attempt: int) -> dict[str, int | Fraction]:
    """Return a point: the first points have fixed signs, later ones random signs.

    The signs are all positive twice, then all negative, then mixed. Only mixed signs tell |xy| from xy.
    """
    point: dict[str, int | Fraction] = {}
    for index, name in enumerate(variables):
        # Only rational functions get integers, because sin(πx) is 0 there. Sizes vary: arcsin(sin x) = x for small x.
        value = (
            rng.randint(2, 1 << 20) if is_rational else Fraction(rng.randint(1, 96), 97) + (0, 2, 0, 1, 7)[attempt % 5]
        )
        is_negative = (False, False, True, index % 2 == 0)[attempt % 4] if attempt < 6 else rng.random() < 0.5
        point[name] = -value if is_negative else value
    return point


class _OneSided(Exception):
    """Only one of the two trees has a value at this point."""


def _equal_at(point: Mapping[str, Value], first: Node, second: Node, base: int | None) -> bool | None:
    try:
        left, right = (_value_in_domain(node, point, None) for node in (first, second))
        if left is None or right is None:
            raise _OneSided if (left is None) != (right is None) else Undefined
        return bool(left == right)
    except Inexact:
        pass
    pairs = []
    for digits in DIGITS:
        context = context_of(digits)
        logs = {LOG: context.exp(1) if base is None else base}
        left, right = (_value_in_domain(node, {**point, **logs}, context) for node in (first, second))
        if left is None or right is None:
            raise _OneSided if (left is None) != (right is None) else Undefined
        pairs.append((left, right))
    (left, right), (left_again, right_again) = pairs
    if _relative_difference(left, right) < MAX_EQUAL and _relative_difference(left_again, right_again) < MAX_EQUAL:
        return True
    is_stable = (
        _relative_difference(left, left_again) < MAX_EQUAL and _relative_difference(right, right_again) < MAX_EQUAL
    )
    return False if is_stable and _relative_difference(left_again, right_again) > MIN_DIFFERENT else None


def _relative_difference(left: Value, right: Value) -> float:
    """Return the relative difference."""
    context = context_of(DIGITS[1])
    left, right = context.convert(left), context.convert(right)
    scale = max(abs(left), abs(right))
    return float(abs(left - right) / scale) if scale else 0.0


def _value_in_domain(node: Node, point: Mapping[str, Value], context: Any) -> Value:
    """Return the value, or None outside the domain."""
    try:
        return evaluate(node, point, context)
    except Undefined:
        return None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise Undecided from error


def _is_rational(node: Node) -> bool:
    """Can `node` be a node of a rational function?"""
    if node.op == "^":
        return node.args[1].op == "number" and isinstance(node.args[1].value, int)
    return node.op in ("number", "decimal", "name", "+", "*", "neg", "inverse")
