r"""Marks of mathematics that math-verify drops, so that different answers look equal to it.

``f'`` becomes f, ``f \circ g`` becomes fg, and ``1 2 3`` becomes 6. Such an answer is never right because math-verify
finds it equal. The same holds if the letters differ ("V" and "v" are two variables), and for two equations: it reduces
each to a truth value.
"""

import re

from tracemill.verification.answers.expressions.latex import GREEK

_LOST = re.compile(
    r"['′]|\\prime(?![a-z])"  # derivatives
    r"|\\(?:circ|nabla|partial|dot|ddot|overline|bar|tilde|star|dagger|top|intercal|otimes|oplus"
    r"|wedge|vee|land|lor|neg|angle|parallel|perp|mapsto|to|cases|xor)(?![A-Za-z])|\\begin\s?\{cases"
    r"|\\times.{0,60}\\(?:vec|hat|overrightarrow)|\\(?:vec|hat|overrightarrow).{0,60}\\times"  # products of vectors
    r"|\^\s?\{?\s?(?:\(|T(?![A-Za-z])|-1\s?\}?\s?\()"  # derivatives of order (n), transposes, inverse functions
    r"|\\frac\s?\{d[^{}]{0,20}\}\s?\{d"
    r"|(?<![A-Za-z])(?:E|Var|Cov|P)\s?\["  # expectations
    r"|[A-Za-z]\d|(?<![\w.])0[xXbBoO][0-9A-Fa-f]"  # formulas such as H2O, and numbers in another base
    r"|[^\W\d_a-zA-Z]"  # letters of another script
)
#: Numbers side by side, "5 to 3", and 1/2x, which has two meanings.
_SIDE_BY_SIDE = re.compile(r"\d\s+[-+]?\d|\n|\d\s?(?:to|\|)\s?\d|/\s?\d+\s?[A-Za-z(\\]")
_RELATION = re.compile(r"[=<>≤≥]|\\(?:le|ge|ne|lt|gt|leq|geq|neq|approx|equiv|sim|subset|in)(?![A-Za-z])")
_FUNCTION = re.compile(
    r"\\(?:begin|end)\s?\{\w+\}|\\[A-Za-z]+|(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|ln|exp|gcd|lcm|det|deg|mod|min|max|sqrt|floor|ceil|abs|pi"
)
_ASSIGNED = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?:_\{?\w{1,3}\}?)?\s?(?:=|\\in(?![a-z]))")
_INDEXED = re.compile(r"[A-Za-z](?:_(?:\w|\{\w{1,5}\}))?")
_CROSS_PRODUCT = re.compile(
    r"\\(?:mathbf|boldsymbol|bm|vec|hat|overrightarrow)\s?\{?\s?\\?\w{1,9}\s?\}?\s?(?:\\times(?![a-z])|×)"
)
_ROOT_OF_NAME = re.compile(r"(?:\\(?:sqrt|log|ln|arc\w{3})(?![a-z])|\|).{0,12}[a-zA-Z]")


def may_confirm(gold: str, answer: str) -> bool:
    """Is math-verify's "equal" a proof for these two texts?"""
    if any(pattern.search(value) for pattern in (_LOST, _SIDE_BY_SIDE) for value in (gold, answer)):
        return False
    if ":" in gold and ":" in answer:
        return False  # times of day, or ratios
    if _RELATION.search(gold) and _RELATION.search(answer):
        return False
    return _names(gold) == _names(answer)


def may_reject(gold: str, answer: str) -> bool:
    """Is math-verify's "not equal" a proof for these two texts?

    It is none for roots and logarithms of variables, which it simplifies only for some signs.
    """
    if _LOST.search(gold) or _LOST.search(answer):
        return False
    return not (_ROOT_OF_NAME.search(gold) and _ROOT_OF_NAME.search(answer))


def has_cross_product(value: str) -> bool:
    """Does `value`, as the trace wrote it, multiply vectors by ×?"""
    return _CROSS_PRODUCT.search(value) is not None


def _names(value: str) -> frozenset[str]:
    """Return the letters that name variables, in their case; a name before "=" is not counted."""
    value = _ASSIGNED.sub(" ", value)
    greek = {command for command in re.findall(r"\\([A-Za-z]+)", value) if command in GREEK}
    letters = {re.sub(r"[{}]", "", name) for name in _INDEXED.findall(_FUNCTION.sub(" ", value))}
    return frozenset(greek | letters) - {"e", "i"}
