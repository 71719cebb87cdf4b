"""The value of a mathematical tree at a point: exact where it is rational, else to the digits of an mpmath context.

Sizes are bounded: no value takes longer than a millisecond, whatever the tree is.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from math import comb, factorial
from typing import Any, Final

from tracemill.verification.answers.expressions.tree import Node

#: int, Fraction, or a real or complex number of `mpmath`
Value = Any

MAX_BITS: Final = 8_192  # of a numerator or denominator: its greatest common divisor still takes 0.1 ms
MAX_MAGNITUDE: Final = 133  # powers of two; numbers within 10**±40 keep their digits beside each other at 100 digits
MAX_FACTORIAL: Final = 200
MAX_POWER: Final = 10_000  # of an irrational number
LOG: Final = "log"  # the point's entry for the base of a log without one


class Undecided(Exception):
    """No value: too large, or a matter of convention, or not a scalar."""


class Undefined(Undecided):
    """No value at this point: outside the domain, a division by zero."""


class Inexact(Exception):
    """Not rational."""


@cache
def context_of(digits: int) -> Any:
    from mpmath import MPContext  # type: ignore[import-untyped]

    context = MPContext()
    context.dps = digits
    return context


def evaluate(node: Node, point: Mapping[str, Value], context: Any) -> Value:
    """The value of a scalar at `point`; exact if `context` is None, else with the precision of that mpmath context.

    Raises `Undecided`, and `Inexact` for an irrational value without a context.
    """
    match node.op:
        case "number" | "decimal":
            return node.value
        case "name":
            if node.value not in point:
                raise Undecided
            return point[str(node.value)]
        case "constant":
            return _constant(str(node.value), _need(context))
        case "call":
            argument = evaluate(node.args[0], point, context)
            return _call(str(node.value), argument, point.get(LOG), _need(context))
    calculate = _OPERATIONS.get(node.op)
    if calculate is None:
        raise Undecided
    return calculate(context, *(evaluate(item, point, context) for item in node.args))


def _need(context: Any) -> Any:
    if context is None:
        raise Inexact
    return context


def _rational(value: Value) -> bool:
    return isinstance(value, int | Fraction)


def _bounded(value: Value, context: Any, scale: Value = None) -> Value:
    """`value`, with rounding noise beside `scale` (the largest term of a sum) or beside its real part taken off."""
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise Undecided
        return value
    if isinstance(value, Fraction):
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
            raise Undecided
        return value
    noise = 10 - context.prec
    if isinstance(value, context.mpc):
        if not value.imag or (value.real and context.mag(value.imag) - context.mag(value.real) < noise):
            value = value.real
        elif value.real and context.mag(value.real) - context.mag(value.imag) < noise:
            value = context.mpc(0, value.imag)
    if not value:
        return 0
    magnitude = context.mag(value)
    if scale is not None and magnitude - scale < noise:
        return 0
    if not abs(magnitude) <= MAX_MAGNITUDE:
        raise Undecided
    return value


def _add(context: Any, *terms: Value) -> Value:
    total = terms[0]
    for term in terms[1:]:
        both = _rational(total) and _rational(term)
        scale = None if both else max((context.mag(item) for item in (total, term) if item), default=0)
        total = _bounded(total + term, context, scale)
    return total


def _multiply(context: Any, *factors: Value) -> Value:
    result = factors[0]
    for factor in factors[1:]:
        result = _bounded(result * factor, context)
    return result


def _inverse(context: Any, value: Value) -> Value:
    if not value:
        raise Undefined
    return _bounded(Fraction(1) / value if _rational(value) else 1 / value, context)


def _power(context: Any, base: Value, exponent: Value) -> Value:
    if _rational(exponent) and exponent.denominator == 1:
        times = int(exponent)
        if not base and times <= 0:
            raise Undefined
        if _rational(base):
            bits = max(abs(base.numerator), base.denominator).bit_length()
            if base not in (0, 1, -1) and abs(times) * bits > MAX_BITS + bits:
                raise Undecided
            if base in (0, 1, -1):
                return base if times % 2 else abs(base)
            return Fraction(base) ** times if times < 0 or isinstance(base, Fraction) else base**times
        if abs(times) > MAX_POWER:
            raise Undecided
        return _bounded(base**times, context)
    if not base:
        if _real(exponent, context) and exponent > 0:
            return 0
        raise Undefined
    if _rational(exponent) and exponent.denominator == 2 and abs(exponent) < MAX_POWER:
        return _power(context, _root(context, 2, base), exponent.numerator)
    if _rational(exponent) and _rational(base) and base > 0 and abs(exponent) < 64 and exponent.denominator < 64:
        root = _exact_root(base, exponent.denominator)
        if root is not None:
            return _power(context, root, exponent.numerator)
    context = _need(context)
    if not _real(base, context) or base < 0:
        raise Undecided  # (-8)^(1/3) is -2 to some, and complex to others
    if context.mag(exponent) > 30:
        raise Undecided
    return _bounded(context.power(context.convert(base), context.convert(exponent)), context)


def _real(value: Value, context: Any) -> bool:
    return _rational(value) or isinstance(value, _need(context).mpf)


def _root(context: Any, index: Value, value: Value) -> Value:
    if not (_rational(index) and index.denominator == 1 and 2 <= index <= 64):
        raise Undecided
    index = int(index)
    if _rational(value):
        if value < 0 and index % 2:
            return -_root(context, index, -value)
        root = _exact_root(value, index) if value >= 0 else None
        if root is not None:
            return root
    context = _need(context)
    value = context.convert(value)
    if index == 2:
        return _bounded(context.sqrt(value), context)
    if not _real(value, context) or (value < 0 and index % 2 == 0):
        raise Undecided
    return _bounded(context.root(value, index) if value >= 0 else -context.root(-value, index), context)


def _exact_root(value: int | Fraction, index: int) -> int | Fraction | None:
    """The rational root of a rational number that is not negative, if it has one."""
    upper, lower = (_whole_root(part, index) for part in (value.numerator, value.denominator))
    if upper is None or lower is None:
        return None
    return upper if lower == 1 else Fraction(upper, lower)


def _whole_root(value: int, index: int) -> int | None:
    root = 1 << -(-value.bit_length() // index)  # not below the root: Newton's steps go down to it
    while value and (step := ((index - 1) * root + value // root ** (index - 1)) // index) < root:
        root = step
    return root if value and root**index == value else 0 if not value else None


def _factorial(context: Any, value: Value) -> int:
    if not (_rational(value) and value.denominator == 1 and 0 <= value <= MAX_FACTORIAL):
        raise Undecided
    return factorial(int(value))


def _binomial(context: Any, upper: Value, lower: Value) -> int:
    if not all(_rational(value) and value.denominator == 1 and 0 <= value <= MAX_FACTORIAL for value in (upper, lower)):
        raise Undecided
    return comb(int(upper), int(lower))


def _constant(name: str, context: Any) -> Value:
    return {"pi": context.pi, "e": context.e, "i": context.j}[name] * 1


def _call(name: str, value: Value, base: Value, context: Any) -> Value:
    value = context.convert(value)
    if value and context.mag(value) > 14:
        raise Undecided
    if name in ("ln", "log"):
        return _logarithm(context, base if name == "log" else context.exp(1), value)
    if name not in ("sin", "cos", "exp") and not _real(value, context):
        raise Undecided
    if name in ("arcsin", "arccos") and not -1 <= value <= 1:
        raise Undefined
    function: Callable[[Value], Value] = getattr(context, _MPMATH.get(name, name))
    return _bounded(function(value), context, 0 if name in ("sin", "cos", "tan", "cot") else None)


_MPMATH: Final = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}


def _logarithm(context: Any, base: Value, value: Value) -> Value:
    context = _need(context)
    if not (_real(base, context) and _real(value, context)) or value <= 0 or base <= 0 or base == 1:
        raise Undefined
    return _bounded(context.log(value) / context.log(base), context)


_OPERATIONS: Final[dict[str, Callable[..., Value]]] = {
    "+": _add,
    "*": _multiply,
    "neg": lambda context, value: -value,
    "inverse": _inverse,
    "^": _power,
    "root": _root,
    "!": _factorial,
    "binomial": _binomial,
    "abs": lambda context, value: abs(value),
    "log": _logarithm,
    "degree": lambda context, value: _multiply(context, value, _need(context).pi / 180),
}
