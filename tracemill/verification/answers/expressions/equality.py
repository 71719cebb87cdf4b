"""Have two trees the same value everywhere?

Rational values are compared exactly. Where roots, π, e, i or functions come in, both trees are evaluated with 50 and
again with 100 digits: values that differ by far more than the two precisions do are proven different; values that agree
to 40 digits at both are taken as equal, which for the small constants of answers is safe, though no proof. Trees with
variables are compared at random points (Schwartz 1980, Zippel 1979): different polynomials of degree d agree at a
random point out of N with a probability of at most d/N. The points depend on the two trees alone: verdicts repeat.
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
EQUAL: Final = 10**-40  # relative difference
DIFFERENT: Final = 10**-20
TRIES: Final = 16  # points drawn
POINTS: Final = 4  # points needed


def equal(first: Node, second: Node) -> bool | None:
    """Have two scalars the same value wherever both have one? None where that cannot be decided."""
    if not any(_is_bare_log(node) for side in (first, second) for node in walk(side)):
        return _equal(first, second, 10)
    verdicts = {_equal(first, second, base) for base in (10, None)}  # log: to the base of ten, or natural
    return verdicts.pop() if len(verdicts) == 1 else None


def approximate(node: Node) -> float:
    """The value of a real constant as a float. Raises `Undecided`."""
    context = context_of(DIGITS[0])
    try:
        value = evaluate(node, {LOG: 10}, context)
        if isinstance(value, context.mpc):
            raise Undecided
        return float(value)
    except (ArithmeticError, ValueError, TypeError) as error:
        raise Undecided from error


def witness(first: Node, second: Node) -> bool:
    """Is there a real point where `first` (left - right of an equation) is zero and `second` is certainly not?"""
    context = context_of(DIGITS[0])
    chance = Random(repr((first, second)))
    variables = sorted(names(first))
    for attempt in range(4):
        point = {name: context.mpf(chance.uniform(-3, 3)) for name in variables + sorted(names(second))} | {LOG: 10}
        moving = variables[attempt % len(variables)] if variables else ""
        start = point.get(moving, context.zero)

        def along(value: Value, moving: str = moving, point: dict[str, Value] = point) -> Value:
            return context.convert(evaluate(first, point | {moving: value}, context))

        try:
            root = context.findroot(along, start, maxsteps=25)
            if not isinstance(root, context.mpc) and abs(evaluate(second, point | {moving: root}, context)) > 1e-6:
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
            return _at({}, first, second, base)
        except (_OneSided, Undecided):
            return None
    chance = Random(repr((first, second)))
    is_rational = all(_is_rational(node) for side in (first, second) for node in walk(side))
    enough = TRIES if len(variables) > 2 and not is_rational else POINTS
    held, doubtful = 0, False
    for attempt in range(TRIES):
        if attempt - held > TRIES // 2:
            break
        point = _point(variables, chance, is_rational, attempt)
        try:
            verdict = _at(point, first, second, base)
        except _OneSided:
            doubtful = True
            continue
        except Undecided:
            continue
        if verdict is False and (is_rational or min(point.values()) > 0):
            return False
        # Different for negative values only, as x and √x²: what x may be is for the question to say.
        doubtful = doubtful or not verdict
        held += 1
        if held >= enough:
            break
    return True if held >= POINTS and not doubtful else None


def _point(variables: list[str], chance: Random, is_rational: bool, attempt: int) -> dict[str, int | Fraction]:
    """In turn: twice all positive, all negative, of both signs (|xy| and xy agree on all others); then at random."""
    point: dict[str, int | Fraction] = {}
    for place, name in enumerate(variables):
        # Never whole but for rational functions: sin(πx) is not 0. Of several sizes: arcsin(sin x) = x for small x.
        value = (
            chance.randint(2, 1 << 20)
            if is_rational
            else Fraction(chance.randint(1, 96), 97) + (0, 2, 0, 1, 7)[attempt % 5]
        )
        negative = (False, False, True, place % 2 == 0)[attempt % 4] if attempt < 6 else chance.random() < 0.5
        point[name] = -value if negative else value
    return point


class _OneSided(Exception):
    """One of two trees has a value at this point, the other has none."""


def _at(point: Mapping[str, Value], first: Node, second: Node, base: int | None) -> bool | None:
    try:
        left, right = (_defined(node, point, None) for node in (first, second))
        if left is None or right is None:
            raise _OneSided if (left is None) != (right is None) else Undefined
        return bool(left == right)
    except Inexact:
        pass
    pairs = []
    for digits in DIGITS:
        context = context_of(digits)
        logs = {LOG: context.exp(1) if base is None else base}
        left, right = (_defined(node, {**point, **logs}, context) for node in (first, second))
        if left is None or right is None:
            raise _OneSided if (left is None) != (right is None) else Undefined
        pairs.append((left, right))
    (left, right), (left_again, right_again) = pairs
    if _apart(left, right) < EQUAL and _apart(left_again, right_again) < EQUAL:
        return True
    stable = _apart(left, left_again) < EQUAL and _apart(right, right_again) < EQUAL
    return False if stable and _apart(left_again, right_again) > DIFFERENT else None


def _apart(left: Value, right: Value) -> float:
    """The relative difference."""
    context = context_of(DIGITS[1])
    left, right = context.convert(left), context.convert(right)
    scale = max(abs(left), abs(right))
    return float(abs(left - right) / scale) if scale else 0.0


def _defined(node: Node, point: Mapping[str, Value], context: Any) -> Value:
    """The value, or None outside the domain."""
    try:
        return evaluate(node, point, context)
    except Undefined:
        return None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise Undecided from error


def _is_rational(node: Node) -> bool:
    """Is a tree of such nodes a rational function?"""
    if node.op == "^":
        return node.args[1].op == "number" and isinstance(node.args[1].value, int)
    return node.op in ("number", "decimal", "name", "+", "*", "neg", "inverse")
