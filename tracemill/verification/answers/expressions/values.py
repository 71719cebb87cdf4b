"""Evaluate a mathematical tree at a point.

A rational value is exact; any other has the digits of an mpmath context. Sizes are bounded: no value takes longer than
a millisecond, for any tree without sums and products. These have at most `MAX_TERMS`.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from math import comb, factorial
from typing import Any, Final

from tracemill.verification.answers.expressions.tree import Node, walk

#: int, Fraction, or a real or complex number of `mpmath`
Value = Any

MAX_BITS: Final = 8_192  # of a numerator or denominator; a greatest common divisor of this size takes 0.1 ms
MAX_MAGNITUDE: Final = 133  # a power of two: with 100 digits, sums of numbers within 10**±40 keep enough digits
MAX_FACTORIAL: Final = 200
MAX_GAMMA: Final = 30  # of a factorial between two integers
MAX_POWER: Final = 10_000  # exponent of an irrational number
MAX_TERMS: Final = (1_000, 30)  # of a sum or product, and of one with another in its body
LOG: Final = "log"  # the entry of a point that holds the base of a log without a base


class Undecided(Exception):
    """There is no value: it is too large, depends on a convention, or is no scalar."""


class Undefined(Undecided):
    """There is no value at this point: outside the domain, or a division by zero."""


class Inexact(Exception):
    """The value is not rational, and there is no mpmath context."""


@cache
def context_of(digits: int) -> Any:
    from mpmath import MPContext  # type: ignore[import-untyped]

    context = MPContext()
    context.dps = digits
    return context


def evaluate(node: Node, point: Mapping[str, Value], context: Any) -> Value:
    """Return the value of a scalar at `point`, in the precision of `context`.

    Without a context the value is exact. Raises `Undecided`, and `Inexact` for an irrational value without a context.
    """
    match node.op:
        case "number" | "decimal":
            return node.value
        case "name" | "bound":
            if str(node.value) not in point:
                raise Undecided
            return point[str(node.value)]
        case "constant":
            return _constant(str(node.value), _required(context))
        case "call":
            argument = evaluate(node.args[0], point, context)
            return _call(str(node.value), argument, point.get(LOG), _required(context))
        case "sum" | "prod":
            return _over_terms(node, point, context)
    calculate = _OPERATIONS.get(node.op)
    if calculate is None:
        raise Undecided
    return calculate(context, *(evaluate(item, point, context) for item in node.args))


def _over_terms(node: Node, point: Mapping[str, Value], context: Any) -> Value:
    lower, upper = (evaluate(bound, point, context) for bound in node.args[:2])
    n_inner = sum(item.op in ("sum", "prod") for item in walk(node.args[2]))
    are_integers = all(_is_rational(bound) and bound.denominator == 1 for bound in (lower, upper))
    if not are_integers or n_inner >= len(MAX_TERMS) or not -1 <= upper - lower < MAX_TERMS[n_inner]:
        raise Undecided
    indices = range(int(lower), int(upper) + 1)
    terms = (evaluate(node.args[2], {**point, str(node.value): index}, context) for index in indices)
    return _add(context, 0, *terms) if node.op == "sum" else _multiply(context, 1, *terms)


def _required(context: Any) -> Any:
    if context is None:
        raise Inexact
    return context


def _is_rational(value: Value) -> bool:
    return isinstance(value, int | Fraction)


def _bounded(value: Value, context: Any, scale: Value = None) -> Value:
    """Return `value` without rounding noise. Raises `Undecided` if it is too large.

    A real or imaginary part is noise if it is tiny beside the other part. A value is noise if it is tiny beside
    `scale`, the magnitude of the largest term of a sum.
    """
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
        are_rational = _is_rational(total) and _is_rational(term)
        scale = None if are_rational else max((context.mag(item) for item in (total, term) if item), default=0)
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
    return _bounded(Fraction(1) / value if _is_rational(value) else 1 / value, context)


def _power(context: Any, base: Value, exponent: Value) -> Value:
    if _is_rational(exponent) and exponent.denominator == 1:
        integer_exponent = int(exponent)
        if not base and integer_exponent <= 0:
            raise Undefined
        if _is_rational(base):
            bits = max(abs(base.numerator), base.denominator).bit_length()
            if base not in (0, 1, -1) and abs(integer_exponent) * bits > MAX_BITS + bits:
                raise Undecided
            if base in (0, 1, -1):
                return base if integer_exponent % 2 else abs(base)
            return (
                Fraction(base) ** integer_exponent
                if integer_exponent < 0 or isinstance(base, Fraction)
                else base**integer_exponent
            )
        if abs(integer_exponent) > MAX_POWER:
            raise Undecided
        return _bounded(base**integer_exponent, context)
    if not base:
        if _is_real(exponent, context) and exponent > 0:
            return 0
        raise Undefined
    if _is_rational(exponent) and exponent.denominator == 2 and abs(exponent) < MAX_POWER:
        return _power(context, _root(context, 2, base), exponent.numerator)
    if _is_rational(exponent) and _is_rational(base) and base > 0 and abs(exponent) < 64 and exponent.denominator < 64:
        root = _exact_root(base, exponent.denominator)
        if root is not None:
            return _power(context, root, exponent.numerator)
    context = _required(context)
    if not _is_real(base, context) or base < 0:
        raise Undecided  # (-8)^(1/3) is -2 by one convention, and complex by another
    if context.mag(exponent) > 30:
        raise Undecided
    return _bounded(context.power(context.convert(base), context.convert(exponent)), context)


def _is_real(value: Value, context: Any) -> bool:
    return _is_rational(value) or isinstance(value, _required(context).mpf)


def _root(context: Any, index: Value, value: Value) -> Value:
    if not (_is_rational(index) and index.denominator == 1 and 2 <= index <= 64):
        raise Undecided
    index = int(index)
    if _is_rational(value):
        if value < 0 and index % 2:
            return -_root(context, index, -value)
        root = _exact_root(value, index) if value >= 0 else None
        if root is not None:
            return root
    context = _required(context)
    value = context.convert(value)
    if index == 2:
        return _bounded(context.sqrt(value), context)
    if not _is_real(value, context) or (value < 0 and index % 2 == 0):
        raise Undecided
    return _bounded(context.root(value, index) if value >= 0 else -context.root(-value, index), context)


def _exact_root(value: int | Fraction, index: int) -> int | Fraction | None:
    """Return the rational root of a rational number >= 0; None if it has none."""
    upper, lower = (_integer_root(part, index) for part in (value.numerator, value.denominator))
    if upper is None or lower is None:
        return None
    return upper if lower == 1 else Fraction(upper, lower)


def _integer_root(value: int, index: int) -> int | None:
    root = 1 << -(-value.bit_length() // index)  # at least the root: Newton's method descends to it
    while value and (step := ((index - 1) * root + value // root ** (index - 1)) // index) < root:
        root = step
    return root if value and root**index == value else 0 if not value else None


def _factorial(context: Any, value: Value) -> Value:
    """Return n!, at a point between two integers the gamma function: equal formulas agree there too."""
    if not _is_rational(value) or value > MAX_FACTORIAL or (value.denominator == 1 and value < 0):
        raise Undecided
    if value.denominator == 1:
        return factorial(int(value))
    context = _required(context)
    if abs(value) > MAX_GAMMA:
        raise Undecided
    return _bounded(context.gamma(context.convert(value) + 1), context)


def _binomial(context: Any, upper: Value, lower: Value) -> Value:
    are_integers = all(_is_rational(value) and value.denominator == 1 for value in (upper, lower))
    if are_integers and 0 <= lower <= upper and min(lower, upper - lower) <= MAX_FACTORIAL and upper <= MAX_POWER:
        return _bounded(comb(int(upper), int(lower)), context)
    if are_integers and 0 <= upper < lower <= MAX_FACTORIAL:
        return 0
    factors = (upper, lower, upper - lower)
    if are_integers or not all(_is_rational(value) for value in factors):
        raise Undecided
    above, below, rest = (_factorial(context, value) for value in factors)
    return _multiply(context, above, _inverse(context, below), _inverse(context, rest))


def _constant(name: str, context: Any) -> Value:
    return {"pi": context.pi, "e": context.e, "i": context.j}[name] * 1


def _call(name: str, value: Value, base: Value, context: Any) -> Value:
    if name == "zeta":
        return _zeta(value, context)
    value = context.convert(value)
    if value and context.mag(value) > 14:
        raise Undecided
    if name in ("ln", "log"):
        return _logarithm(context, base if name == "log" else context.exp(1), value)
    if name not in ("sin", "cos", "exp") and not _is_real(value, context):
        raise Undecided
    if name in ("arcsin", "arccos") and not -1 <= value <= 1:
        raise Undefined
    function: Callable[[Value], Value] = getattr(context, _MPMATH.get(name, name))
    return _bounded(function(value), context, 0 if name in ("sin", "cos", "tan", "cot") else None)


def _zeta(value: Value, context: Any) -> Value:
    if not _is_rational(value) or value.denominator != 1 or abs(value) > MAX_GAMMA or value == 1:
        raise Undecided
    return _bounded(context.zeta(int(value)), context)


_MPMATH: Final = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}


def _logarithm(context: Any, base: Value, value: Value) -> Value:
    context = _required(context)
    if not (_is_real(base, context) and _is_real(value, context)) or value <= 0 or base <= 0 or base == 1:
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
    "degree": lambda context, value: _multiply(context, value, _required(context).pi / 180),
}
