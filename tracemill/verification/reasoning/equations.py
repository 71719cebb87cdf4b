r"""Check each arithmetic equation in a text with exact values.

An equation has a sign: ``=``, ``≈``, "is" or "equals". Each side is the longest expression that can be read there, with
its units and money signs. An equation is not checked if its reading is uncertain: a variable, a change of units,
"twice", "and a half", or an unknown LaTeX command stands beside it. A missed error costs a little recall; a false alarm
costs a good trace.

A right side with d decimals is true if it is the exact value, rounded or cut to d decimals. In a running calculation,
``3+4=7*2=14``, each result is compared with the first number of the next side. A difference is no error if a careful
writer could have meant another reading (``28 / 1/5``, whole boxes, hours and minutes). GSM8K's calculator marks
``<<48/2=24>>`` (https://arxiv.org/abs/2110.14168) are equations of their own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TypeAlias

from tracemill.verification.reasoning.arithmetic import Rational, Token, evaluate, parts, tokens_of
from tracemill.verification.reasoning.equation_sides import Side, after, before
from tracemill.verification.reasoning.steps import AtStep
from tracemill.verification.reasoning.vocabulary import MEASURES, PART, PART_AFTER

MAX_TEXT = 100_000  # characters read of one trace
MAX_EQUATIONS = 1_000
MAX_SIGNS = 8_000  # equals signs read: text of nothing but "2 = 2 = 2" would take more time than any reasoning

_MARK = re.compile(r"<<([^<>\n]{0,200})>>")
_CODE = re.compile(r"```.*?(?:```|\Z)|\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
_VERBS = (
    " is ",
    "is $",
    "equals ",
    "equals $",
    "equal to ",
    "equal to $",
    "gives ",
    "gives $",
    "makes ",
    "makes $",
)
_CONVERSIONS = frozenset(Fraction(n) for n in (7, 12, 16, 24, 30, 52, 60, 100, 365, 1000, 3600))
_IRRATIONAL = 10**20  # values are equal if they differ by at most one part in this, as roots do
_NEAR = Fraction(1, 200)  # relative difference to the factor between two units
# decimals that look rounded
_LOOKS_ROUNDED = re.compile(r"\.[0-9]{3}|\.(?:([0-9])\1|67|17|83|43|14|57|71|86|09)\Z")
# Near these words a plain sum may have another meaning: other bases, clocks, trials, contradictions.
_DOUBT = re.compile(
    r"\bbase[- ]?0|\bmod|remainder|clock|\b[ap]\.?m\b|binary|contradict|impossible|incorrect|wrong|mistake"
    r"|not equal|n't equal|false|no solution|≡|\\not\b|\bsuppose|\bif \$?[a-z] ?=|\bwait\b|\btry\b",
    re.IGNORECASE,
)


_RANGE = re.compile(
    r"(?P<word>\b(?:pages?|pp|chapters?|years?|days?|weeks?|months?|rows?|lines?|items?|ages?|aged|grades?|levels?"
    r"|seats?|numbers?|questions?|from|between)\.?[ ]{1,3})?"
    r"(?<![\w.])(?P<start>[0-9]{1,9})(?P<sign>[ ]?[-–—][ ]?)(?P<end>[0-9]{1,9})(?!\w|\.[0-9])",
    re.IGNORECASE,
)
_SCORED = frozenset(("goal", "point", "game", "match", "set", "vote", "win"))

Ranges: TypeAlias = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Equations:
    """The results of a check.

    `checked`: count of the equations that could be checked. `false`: the false ones as "left = right" at their step, in
    order. `last`: the value after the last equals sign; None without such a sign, or if that value cannot be read.
    `compound`: count of equations with several operations, as in 3 + 4 + 4 = 11. `used`: the numbers in the equations.
    """

    checked: int
    false: list[AtStep]
    last: Rational | None = None
    compound: int = 0
    used: Sequence[Rational] = ()


def cut(step: str) -> list[str]:
    """Cut `step` by `arithmetic.parts`, without code and drawings.

    Calculator marks become lines of their own.
    """
    if "```" in step or "[asy]" in step:
        step = _CODE.sub("\n", step)
    if "<<" in step:
        step = "\n".join([*_MARK.findall(step), _MARK.sub("", step)])
    return parts(step)


def check_equations(steps: Sequence[str]) -> Equations:
    """Check the equations in the first `MAX_TEXT` characters of the steps.

    Takes linear time.
    """
    return check_cut([cut(step) for step in shortened(steps)])


def shortened(steps: Sequence[str]) -> list[str]:
    """Cut the steps after `MAX_TEXT` characters in all; later steps become empty."""
    n_left = MAX_TEXT
    if sum(map(len, steps)) <= n_left:
        return list(steps)
    kept = []
    for step in steps:
        kept.append(step[:n_left])
        n_left -= len(kept[-1])
    return kept


def check_cut(steps: Sequence[list[str]]) -> Equations:
    """Do the same as `check_equations`, for steps that `cut` has cut."""
    checked = 0
    false: list[AtStep] = []
    last: Rational | None = None
    compound = 0
    used: list[Rational] = []
    signs = 0
    for step_index, pieces in enumerate(steps):
        if not any("=" in gap or "≈" in gap or "\\approx" in gap or gap.endswith(_VERBS) for gap in pieces[::2]):
            continue
        tokens = tokens_of(pieces)
        is_in_doubt: bool | None = None  # searched at most once a step, as the ranges
        ranges: Ranges = frozenset()
        for index, token in enumerate(tokens):
            if token.kind not in ("=", "≈", "is") or checked >= MAX_EQUATIONS or signs >= MAX_SIGNS:
                continue
            signs += 1
            if (value := _simple_result(tokens, index)) is not None:
                checked += 1
                last = value
                used += (tokens[index - 3].value, tokens[index - 1].value)
                continue
            left = before(tokens, index)
            if token.kind == "is" and (left is None or not left.computes):
                continue  # no claim of arithmetic, as in "the answer is 5"
            right = after(tokens, index + 1)
            last = value = None if right is None else evaluate(right.tokens)
            if left is None or right is None or value is None:
                continue
            if left.computes:
                used += (operand.value for operand in left.tokens if operand.kind == "num")
            compound += left.operations > 1
            verdict = _is_true(left, token.kind, right, value)
            if verdict is False:
                if is_in_doubt is None:
                    is_in_doubt = _DOUBT.search("0".join(pieces[::2])) is not None
                    ranges = _ranges("".join(pieces))
                verdict = (
                    None if is_in_doubt or _is_uncertain(tokens, right) or _is_range(left, right, ranges) else False
                )
            checked += verdict is not None
            if verdict is False:
                false.append(AtStep(step_index, f"{left.text} = {right.text}"))
    return Equations(checked, false, last, compound, used)


def _simple_result(tokens: list[Token], index: int) -> Rational | None:
    """Return the right side of a true a + b = c between prose; otherwise None.

    Most equations have this form. The full reading is slower.
    """
    first, operator, second = tokens[index - 3 : index] if index > 3 else (_MINUS, _MINUS, _MINUS)
    if first.kind != "num" or second.kind != "num":
        return None
    right_index = index + 1 + (tokens[index + 1].kind == "money")
    result, following, previous = tokens[right_index], tokens[right_index + 1 : right_index + 2], tokens[index - 4]
    if result.kind != "num" or not following or previous.kind not in ("break", "word", "="):
        return None
    next_kind = following[0].kind
    if (
        next_kind != "break"
        and next_kind != "="
        and (next_kind != "word" or following[0].text in PART_AFTER or len(following[0].text) < 2)
    ):
        return None
    if previous.kind == "word" and (previous.text in PART or len(previous.text) < 2):
        return None
    if operator.text == "+":
        is_true = first.value + second.value == result.value
    elif operator.text == "-":
        is_true = first.value - second.value == result.value
    elif operator.text == "*":
        is_true = first.value * second.value == result.value
    else:
        is_true = operator.text == "/" and second.value != 0 and result.value * second.value == first.value
    return result.value if is_true else None


def _is_true(left: Side, sign: str, right: Side, right_value: Rational) -> bool | None:
    """Is left = right true? None if it is no claim that can be checked.

    `right_value` is the value of the right side.
    """
    if not left.computes and not (left.whole and not left.units and right.computes and sign == "="):
        return None
    if sign == "is" and (not left.computes or len(right.tokens) > 1):
        return None
    left_value = evaluate(left.tokens)
    if left_value is None:
        return None
    if left_value == right_value or abs(Fraction(left_value) - right_value) * _IRRATIONAL <= abs(Fraction(left_value)):
        return True
    decimals = max([decimals_of(token.text) for token in right.tokens])
    kinds = [token.kind for token in right.tokens if token.kind != "op"]
    if (
        kinds == ["num", "post"]
        and right.tokens[-1].text == "%"
        and rounded(left_value * 100, right_value * 100, decimals)
    ):
        return True
    if kinds == ["num"] and (decimals or left_value.denominator > 1) and rounded(left_value, right_value, decimals):
        return True
    if decimals and abs(Fraction(left_value) - right_value) * 10**9 <= abs(Fraction(left_value)):
        return True  # 0.30000000000000004
    if right.computes and right.tokens[0].kind == "num":
        first = right.tokens[0]
        if rounded(left_value, first.value, decimals_of(first.text)):
            return True
    return None if _has_other_reading(left, sign, right, left_value, right_value) else False


def _has_other_reading(left: Side, sign: str, right: Side, left_value: Rational, right_value: Rational) -> bool:
    """Could a careful writer have meant another reading, in which both sides agree?"""
    operators = [token.text for token in left.tokens if token.kind in ("op", "post", "over")]
    all_operators = operators + [token.text for token in right.tokens if token.kind in ("op", "post", "over")]
    kinds = [token.kind for token in left.tokens]
    n_numbers = kinds.count("num") + sum(token.kind == "num" for token in right.tokens)
    has_words = not {"times", "over", "plus", "minus", "of"}.isdisjoint(all_operators)
    has_sum = not {"+", "-", "plus", "minus"}.isdisjoint(all_operators)
    exact, stated = Fraction(left_value), Fraction(right_value)
    difference = abs(exact - stated)
    ratios = {exact / stated, stated / exact} if exact and stated else set()
    units = left.units | right.units
    has_product = not {"*", "/", "times", "over"}.isdisjoint(operators)
    negated_value = evaluate([_MINUS, *left.tokens]) if left.bullet else None
    return bool(
        # 28 / 1/5, where the second stroke makes a fraction; 6/2(1+2)
        all_operators.count("/") > 1
        or ("/" in operators[:-1] and any(a.text == "*" and b.kind == "(" for a, b in pairwise(left.tokens[2:])))
        # 50 / 3 = 16 each, whole stickers, or 17 boxes
        or (exact.denominator > 1 and stated.denominator == 1 and difference < 1)
        # 0.33 * 600 = 200, 10 * 2 = 3.33 * 6: a rounded number is used
        or difference <= _rounding_error(left, exact) + _rounding_error(right, stated)
        or (sign == "≈" and difference <= max(abs(exact) / 50, Fraction(1)))
        # 4 pounds - 6 ounces = 58
        or (
            not has_product
            and ((len(left.units) > 1 and not MEASURES.isdisjoint(left.units - {"$"})) or {"$", "cent"} <= left.units)
        )
        # 20 + 40 = 1 hour, 60 minutes + 30 = 1.5 hours
        or (not MEASURES.isdisjoint(units) and any(abs(a / b - 1) < _NEAR for a in ratios for b in _CONVERSIONS))
        or (not has_product and left.units and not right.units <= left.units and not MEASURES.isdisjoint(units))
        # 100 - 20 %, percents for numbers, 20% = 12 apples, 2/5 = 12.8 hectares
        or ("%" in all_operators and (Fraction(100) in ratios or (has_sum and all_operators.count("%") < n_numbers)))
        or (kinds == ["num", "post"] and operators == ["%"])
        or (operators in (["/"], ["⁄"]) and abs(exact) < 1 <= abs(stated))
        # "2 times 5 + 3", 10 of 3
        or (has_words and len(set(operators) - {"%", "/", "⁄"}) > 1)
        or ("of" in operators and {"%", "/", "⁄"}.isdisjoint(operators))
        # -3^2, and a bullet that may be a minus
        or (left.tokens[0].text == "-" and "^" in operators)
        or negated_value == right_value
        # (2) - (1) = 3x: numbers of equations
        or kinds == ["(", "num", ")", "op", "(", "num", ")"]
    )


_MINUS = Token("op", "-")


def _ranges(text: str) -> Ranges:
    """Pairs of whole numbers that may be a range, as in "pages 12-15". Spaced ones count only after such a word."""
    return frozenset(
        (match["start"], match["end"]) for match in _RANGE.finditer(text) if match["word"] or " " not in match["sign"]
    )


def _is_range(left: Side, right: Side, ranges: Ranges) -> bool:
    """Is the left side a range, a score or a time of the day, not a difference?

    The right side then counts or averages the range, adds the score up, or measures the time.
    """
    if [token.kind for token in left.tokens] != ["num", "op", "num"] or len(right.tokens) != 1:
        return False
    start, end, stated = left.tokens[0], left.tokens[2], right.tokens[0].value
    if left.tokens[1].text != "-" or (start.text.replace(",", ""), end.text.replace(",", "")) not in ranges:
        return False
    length = end.value - start.value
    if length > 0:
        return stated in (length, length + 1) or start.value <= stated <= end.value
    if not {"hour", "hr", "h"}.isdisjoint(right.units):
        return stated in (length % 12, length % 24)
    return stated == start.value + end.value and not _SCORED.isdisjoint(left.units | right.units)


def _rounding_error(side: Side, value: Fraction) -> Fraction:
    """Return the largest error from rounded decimals in a side: 3 for 0.33 * 600."""
    error = Fraction(0)
    if side.computes and "$" not in side.units:
        for token in side.tokens:
            if token.kind == "num" and token.value and _LOOKS_ROUNDED.search(token.text):
                error += abs(value) / (2 * 10 ** decimals_of(token.text) * Fraction(token.value))
    return error


def _is_uncertain(tokens: list[Token], right: Side) -> bool:
    """Is the equation a question, or does it continue with tokens that were not read?"""
    following = tokens[right.ends].text if right.ends < len(tokens) else ""
    return following in ("?", "!", "≠", "[", "|", "...", "…") or following.startswith("\\neq")


def rounded(exact: Rational, stated: Rational, decimals: int) -> bool:
    """Is `stated` the exact value, rounded or cut to `decimals` decimals?

    A value is never cut to a whole number.
    """
    units_off = abs(Fraction(exact) - stated) * 10**decimals
    return 2 * units_off <= 1 or (decimals > 0 and units_off < 1 and stated * (exact - stated) >= 0)


def decimals_of(number: str) -> int:
    return len(number) - number.index(".") - 1 if "." in number else 0
