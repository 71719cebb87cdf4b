r"""Is each arithmetic equation in the text true? Exact values, and silence where the reading is uncertain.

Around every ``=``, ``≈`` and spoken "is" or "equals" the longest expression that can be read is taken on either side,
with its units and money signs. A variable, a change of units, "twice", "and a half", an unknown LaTeX command beside it
mean: not checked. Silence costs a little recall, a false alarm costs a good trace.

A right side written with d decimals is right if it is the exact value rounded or cut to d decimals. In a running
calculation, ``3+4=7*2=14``, each result is compared with the number that the next side begins with. Where a careful
writer could have meant something else (``28 / 1/5``, whole boxes, hours for minutes) a difference is no error. GSM8K's
calculator marks ``<<48/2=24>>`` (https://arxiv.org/abs/2110.14168) are read as equations of their own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from tracemill.verification.reasoning.arithmetic import Rational, Token, evaluate, parts, tokens_of
from tracemill.verification.reasoning.equation_sides import Side, after, before
from tracemill.verification.reasoning.steps import AtStep
from tracemill.verification.reasoning.vocabulary import MEASURES, PART, PART_AFTER

MAX_TEXT = 100_000  # characters read of one trace
MAX_EQUATIONS = 1_000

_MARK = re.compile(r"<<([^<>\n]{0,200})>>")
_CODE = re.compile(r"```.*?(?:```|\Z)|\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
_SAYS = (" is ", "is $", "equals ", "equals $", "equal to ", "equal to $", "gives ", "gives $", "makes ", "makes $")
_CONVERSIONS = frozenset(Fraction(n) for n in (7, 12, 16, 24, 30, 52, 60, 100, 365, 1000, 3600))
_IRRATIONAL = 10**20  # beyond as many digits two values with roots are the same
_NEAR = Fraction(1, 200)
_ROUND = re.compile(r"\.[0-9]{3}|\.(?:([0-9])\1|67|17|83|43|14|57|71|86|09)\Z")  # decimals that look like rounded ones
# Near these even a plain sum may be meant otherwise: other bases, clocks, trials, contradictions.
_DOUBT = re.compile(
    r"\bbase[- ]?0|\bmod|remainder|clock|\b[ap]\.?m\b|binary|contradict|impossible|incorrect|wrong|mistake"
    r"|not equal|n't equal|false|no solution|≡|\\not\b|\bsuppose|\bif \$?[a-z] ?=|\bwait\b|\btry\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Equations:
    """`checked`: how many could be checked; `false`: the false ones as "left = right" at their step, in order;

    `last`: the value after the last equals sign; None if there is no such sign, or what follows cannot be read;

    `compound`: how many do several operations at once, as 3 + 4 + 4 = 11 does; `used`: the numbers that they work with.
    """

    checked: int
    false: list[AtStep]
    last: Rational | None = None
    compound: int = 0
    used: Sequence[Rational] = ()


def cut(step: str) -> list[str]:
    """`step` cut by `arithmetic.parts`, without code and drawings; calculator marks become lines of their own."""
    if "```" in step or "[asy]" in step:
        step = _CODE.sub("\n", step)
    if "<<" in step:
        step = "\n".join([*_MARK.findall(step), _MARK.sub("", step)])
    return parts(step)


def check_equations(steps: Sequence[str]) -> Equations:
    """Check the equations of the steps, of `MAX_TEXT` characters in all. Takes linear time."""
    return check_cut([cut(step) for step in shortened(steps)])


def shortened(steps: Sequence[str]) -> list[str]:
    """As many of the steps, from the first, as hold `MAX_TEXT` characters; what lies beyond is empty."""
    left = MAX_TEXT
    if sum(map(len, steps)) <= left:
        return list(steps)
    kept = []
    for step in steps:
        kept.append(step[:left])
        left -= len(kept[-1])
    return kept


def check_cut(steps: Sequence[list[str]]) -> Equations:
    """`check_equations` for steps that `cut` has cut."""
    checked = 0
    false: list[AtStep] = []
    last: Rational | None = None
    compound = 0
    used: list[Rational] = []
    for place, pieces in enumerate(steps):
        if not any("=" in gap or "≈" in gap or "\\approx" in gap or gap.endswith(_SAYS) for gap in pieces[::2]):
            continue
        tokens = tokens_of(pieces)
        doubt: bool | None = None  # looked for at most once a step
        for at, token in enumerate(tokens):
            if token.kind not in ("=", "≈", "is") or checked >= MAX_EQUATIONS:
                continue
            if (value := _plain(tokens, at)) is not None:
                checked += 1
                last = value
                used += (tokens[at - 3].value, tokens[at - 1].value)
                continue
            right = after(tokens, at + 1)
            left = before(tokens, at)
            value = None if right is None else evaluate(right.tokens)
            if token.kind != "is" or (left is not None and left.computes):
                last = value
            if left is None or right is None or value is None:
                continue
            if left.computes:
                used += (one.value for one in left.tokens if one.kind == "num")
            compound += left.operations > 1
            verdict = _true(left, token.kind, right, value)
            if verdict is False:
                doubt = _DOUBT.search("0".join(pieces[::2])) is not None if doubt is None else doubt
                verdict = None if doubt or _doubtful(tokens, right) else False
            checked += verdict is not None
            if verdict is False:
                false.append(AtStep(place, f"{left.text} = {right.text}"))
    return Equations(checked, false, last, compound, used)


def _plain(tokens: list[Token], at: int) -> Rational | None:
    """The right side of a true a + b = c alone between prose: most equations are, and need no closer reading."""
    first, operator, second = tokens[at - 3 : at] if at > 3 else (_MINUS, _MINUS, _MINUS)
    if first.kind != "num" or second.kind != "num":
        return None
    place = at + 1 + (tokens[at + 1].kind == "money")
    right, following, before_it = tokens[place], tokens[place + 1 : place + 2], tokens[at - 4]
    if right.kind != "num" or not following or before_it.kind not in ("break", "word", "="):
        return None
    ends = following[0].kind
    if (
        ends != "break"
        and ends != "="
        and (ends != "word" or following[0].text in PART_AFTER or len(following[0].text) < 2)
    ):
        return None
    if before_it.kind == "word" and (before_it.text in PART or len(before_it.text) < 2):
        return None
    if operator.text == "+":
        true = first.value + second.value == right.value
    elif operator.text == "-":
        true = first.value - second.value == right.value
    elif operator.text == "*":
        true = first.value * second.value == right.value
    else:
        true = operator.text == "/" and second.value != 0 and right.value * second.value == first.value
    return right.value if true else None


def _true(left: Side, sign: str, right: Side, theirs: Rational) -> bool | None:
    """Is left = right true, where the right is `theirs`; None when that is no claim that can be checked."""
    if not left.computes and not (left.whole and not left.units and right.computes and sign == "="):
        return None
    if sign == "is" and (not left.computes or len(right.tokens) > 1):
        return None
    ours = evaluate(left.tokens)
    if ours is None:
        return None
    if ours == theirs or abs(Fraction(ours) - theirs) * _IRRATIONAL <= abs(Fraction(ours)):
        return True
    decimals = max([decimals_of(token.text) for token in right.tokens])
    single = [token.kind for token in right.tokens if token.kind != "op"]
    if single == ["num", "post"] and right.tokens[-1].text == "%" and rounded(ours * 100, theirs * 100, decimals):
        return True
    if single == ["num"] and (decimals or ours.denominator > 1) and rounded(ours, theirs, decimals):
        return True
    if decimals and abs(Fraction(ours) - theirs) * 10**9 <= abs(Fraction(ours)):
        return True  # 0.30000000000000004
    if right.computes and right.tokens[0].kind == "num":
        start = right.tokens[0]
        if rounded(ours, start.value, decimals_of(start.text)):
            return True
    return None if _read_otherwise(left, sign, right, ours, theirs) else False


def _read_otherwise(left: Side, sign: str, right: Side, ours: Rational, theirs: Rational) -> bool:
    """Could a careful writer have meant something else by a left and a right side that differ?"""
    operators = [token.text for token in left.tokens if token.kind in ("op", "post", "over")]
    both = operators + [token.text for token in right.tokens if token.kind in ("op", "post", "over")]
    kinds = [token.kind for token in left.tokens]
    numbers = kinds.count("num") + sum(token.kind == "num" for token in right.tokens)
    spoken = not {"times", "over", "plus", "minus", "of"}.isdisjoint(both)
    sums = not {"+", "-", "plus", "minus"}.isdisjoint(both)
    exact, stated = Fraction(ours), Fraction(theirs)
    off = abs(exact - stated)
    ratios = {exact / stated, stated / exact} if exact and stated else set()
    units = left.units | right.units
    product = not {"*", "/", "times", "over"}.isdisjoint(operators)
    bullet = evaluate([_MINUS, *left.tokens]) if left.bullet else None
    return bool(
        # 28 / 1/5, where the second stroke is a fraction's; 6/2(1+2)
        both.count("/") > 1
        or ("/" in operators[:-1] and any(a.text == "*" and b.kind == "(" for a, b in pairwise(left.tokens[2:])))
        # 50 / 3 = 16 each, whole stickers, or 17 boxes
        or (exact.denominator > 1 and stated.denominator == 1 and off < 1)
        # 0.33 * 600 = 200, 10 * 2 = 3.33 * 6: rounded on the way
        or off <= _slack(left, exact) + _slack(right, stated)
        or (sign == "≈" and off <= max(abs(exact) / 50, Fraction(1)))
        # 4 pounds - 6 ounces = 58
        or (
            not product
            and ((len(left.units) > 1 and not MEASURES.isdisjoint(left.units - {"$"})) or {"$", "cent"} <= left.units)
        )
        # 20 + 40 = 1 hour, 60 minutes + 30 = 1.5 hours
        or (not MEASURES.isdisjoint(units) and any(abs(a / b - 1) < _NEAR for a in ratios for b in _CONVERSIONS))
        or (not product and left.units and not right.units <= left.units and not MEASURES.isdisjoint(units))
        # 100 - 20 %, percents for numbers, 20% = 12 apples, 2/5 = 12.8 hectares
        or ("%" in both and (Fraction(100) in ratios or (sums and both.count("%") < numbers)))
        or (kinds == ["num", "post"] and operators == ["%"])
        or (operators in (["/"], ["⁄"]) and abs(exact) < 1 <= abs(stated))
        # "2 times 5 + 3", 10 of 3
        or (spoken and len(set(operators) - {"%", "/", "⁄"}) > 1)
        or ("of" in operators and {"%", "/", "⁄"}.isdisjoint(operators))
        # -3^2, and a bullet that may be a minus
        or (left.tokens[0].text == "-" and "^" in operators)
        or bullet == theirs
        # (2) - (1) = 3x: equations by their numbers
        or kinds == ["(", "num", ")", "op", "(", "num", ")"]
    )


_MINUS = Token("op", "-")


def _slack(side: Side, value: Fraction) -> Fraction:
    """How far rounded decimals on a side can have moved its value: 0.33 * 600 by 3."""
    slack = Fraction(0)
    if side.computes and "$" not in side.units:
        for token in side.tokens:
            if token.kind == "num" and token.value and _ROUND.search(token.text):
                slack += abs(value) / (2 * 10 ** decimals_of(token.text) * Fraction(token.value))
    return slack


def _doubtful(tokens: list[Token], right: Side) -> bool:
    """Is it asked, or does it go on in a way that was not read?"""
    following = tokens[right.ends].text if right.ends < len(tokens) else ""
    return following in ("?", "!", "≠", "[", "|", "...", "…") or following.startswith("\\neq")


def rounded(exact: Rational, stated: Rational, decimals: int) -> bool:
    """Is `stated` the exact value rounded to `decimals` places, or cut there (whole numbers are never cut)?"""
    off = abs(Fraction(exact) - stated) * 10**decimals
    return 2 * off <= 1 or (decimals > 0 and off < 1 and stated * (exact - stated) >= 0)


def decimals_of(number: str) -> int:
    return len(number) - number.index(".") - 1 if "." in number else 0
