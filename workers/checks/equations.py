"""Is each simple arithmetic equation in the text true? Exact fractions, and silence where the reading is uncertain.

The text is cut into tokens in one pass. Around every ``=`` the longest run of numbers, operators and parentheses is
read on either side; units, money signs and thousands separators are understood, anything else (a variable, a power, a
percent, a mixed number, "twice", "and a half", a change of units) means: not checked. Silence costs a little recall, a
false alarm costs a good trace.

A right side written with d decimals is right if it is the exact value rounded or cut to d decimals. In a running
calculation, ``3+4=7*2=14``, each result is compared with the number that the next side begins with. GSM8K's calculator
marks ``<<48/2=24>>`` are read by themselves, with a relative tolerance of 1e-9.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from workers.checks.arithmetic import Token, evaluate, tokenize

MAX_TEXT = 100_000  # characters read
MAX_EQUATIONS = 1_000
MAX_SIDE = 200  # tokens of one side of an equation

_MARK = re.compile(r"<<([^<>\n=]{1,100})=([^<>\n=]{1,40})>>")
_ANY_MARK = re.compile(r"<<[^<>\n]{0,200}>>")
# A number after or before one of these words is only part of what is meant.
# fmt: off
_UNSURE = frozenset((
    "of", "twice", "thrice", "half", "halves", "third", "thirds", "quarter", "quarters", "fourth", "double",
    "triple", "and",
    "plus", "minus", "times", "less", "more", "than", "by", "over", "divided", "multiplied", "squared", "cubed",
    "percent",
    "percents", "hundred", "hundreds", "thousand", "thousands", "million", "millions", "billion", "billions", "dozen",
    "dozens", "cent", "cents", "remainder", "rem", "mod", "to", "power", "root", "square", "about", "approximately",
    "around", "nearly", "st", "nd", "rd", "th",
))
# fmt: on
_CONVERSIONS = frozenset(Fraction(n) for n in (7, 12, 16, 24, 52, 60, 100, 365, 1000, 3600))


@dataclass(frozen=True)
class Equations:
    """`checked`: how many equations could be checked; `false`: the false ones as "left = right", in text order."""

    checked: int
    false: list[str]


class _Side(NamedTuple):
    tokens: list[Token]
    units: set[str]
    whole: bool  # the side holds nothing else

    @property
    def text(self) -> str:
        return " ".join(token.text for token in self.tokens)

    @property
    def computes(self) -> bool:
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return any(left.kind in ("num", ")") and right.kind == "op" for left, right in pairs)


def check_equations(text: str) -> Equations:
    """Check the arithmetic of the first `MAX_TEXT` characters. Takes linear time."""
    text = text[:MAX_TEXT]
    checked = 0
    false: list[str] = []
    for match in _MARK.finditer(text):
        left, right = evaluate(tokenize(match[1])), evaluate(tokenize(match[2]))
        if left is not None and right is not None:
            checked += 1
            if abs(left - right) > abs(left) / 10**9 and not _rounded(left, right, _decimals(match[2])):
                false.append(f"{match[1].strip()} = {match[2].strip()}")
    for sides in _chains(_ANY_MARK.sub("", text)):
        for place in range(len(sides) - 1):
            if checked >= MAX_EQUATIONS:
                return Equations(checked, false)
            left_side, right_side = _ending(sides[place]), _beginning(sides[place + 1])
            if left_side is None or right_side is None:
                continue
            verdict = _true(left_side, right_side)
            checked += verdict is not None
            if verdict is False:
                false.append(f"{left_side.text} = {right_side.text}")
    return Equations(checked, false)


def _chains(text: str) -> list[list[list[Token]]]:
    """Tokens of every stretch without a break, split at its equals signs."""
    chains: list[list[list[Token]]] = [[[]]]
    for token in tokenize("\n".join(line for line in text.split("\n") if "=" in line)):
        if token.kind == "break":
            chains.append([[]])
        elif token.kind == "=":
            chains[-1].append([])
        else:
            chains[-1][-1].append(token)
    return [chain for chain in chains if len(chain) > 1]


def _beginning(side: list[Token]) -> _Side | None:
    """The expression that `side` begins with; None when its reading is not certain."""
    tokens: list[Token] = []
    units: set[str] = set()
    place = 0
    while place < min(len(side), MAX_SIDE):
        token = side[place]
        if token.kind == "money":
            units.add("$")
        elif token.kind in ("num", "op", "(", ")"):
            tokens.append(token)
        else:
            words = 0
            while place + words < len(side) and side[place + words].kind == "word" and words < 4:
                words += 1
            run = [word.text.lower() for word in side[place : place + words]]
            following = side[place + words] if place + words < len(side) else None
            if token.kind != "word" or not tokens or tokens[-1].kind == "op" or _UNSURE.intersection(run) - {"and"}:
                return None
            if len(run[0]) == 1:
                return None
            units.add(_singular(run[0]))
            if following is None or following.kind not in ("op", ")"):
                # "5 and a half", "1 hour and 30 minutes" go on; "19 and then 19" does not
                if run[-1] == "and" or " and a " in f" {' '.join(run)} ":
                    return None
                return _Side(tokens, units, following is None)
            place += words
            continue
        place += 1
    return _Side(tokens, units, True) if tokens and len(side) <= MAX_SIDE else None


def _ending(side: list[Token]) -> _Side | None:
    """The expression that `side` ends with; None when its reading is not certain."""
    start = len(side)
    expects_operand = True  # walking leftwards: a number or a closing parenthesis must come next
    depth = 0
    words: list[str] = []
    units: set[str] = set()
    tokens: list[Token] = []
    while start > 0 and len(side) - start < MAX_SIDE:
        token = side[start - 1]
        if token.kind == "word":
            if not expects_operand and depth == 0:
                break
            words.append(token.text.lower())
            if len(words) > 3 or not expects_operand:
                return None
        elif token.kind == "money":
            units.add("$")
        elif token.kind == "num" or token.kind == ")":
            if not expects_operand:
                return None  # two numbers side by side: a mixed number, a date, a list
            if words and (_UNSURE.intersection(words) or len(words[-1]) == 1):
                return None
            if words:
                units.add(_singular(words[-1]))
            words = []
            depth += token.kind == ")"
            expects_operand = token.kind == ")"
            tokens.append(token)
        elif token.kind == "(":
            if depth == 0 or (expects_operand and tokens[-1].text != "-"):
                break
            expects_operand = False
            depth -= 1
            tokens.append(token)
        elif token.kind == "op":
            if words:
                return None
            if expects_operand and not (token.text in "+-*/" and tokens and tokens[-1].text == "-"):
                return None
            expects_operand = True
            tokens.append(token)
        else:
            return None
        start -= 1
    if len(side) - start >= MAX_SIDE or words or depth:
        return None
    if start > 0 and (side[start - 1].text.lower() in _UNSURE or (tokens and tokens[-1].kind in ("op", "("))):
        return None  # "twice 5 + 3", f(3), or the minus of something before
    return _Side(tokens[::-1], units, start == 0) if tokens else None


def _true(left: _Side, right: _Side) -> bool | None:
    """Is left = right true; None when that is not a claim of arithmetic that can be checked."""
    if not left.computes and not (left.whole and not left.units and right.computes):
        return None
    if left.units and right.units and not right.units <= left.units:
        return None  # a change of units: 60 minutes + 30 minutes = 1.5 hours
    ours, theirs = evaluate(left.tokens), evaluate(right.tokens)
    if ours is None or theirs is None:
        return None
    if ours == theirs or _rounded(ours, theirs, max(_decimals(token.text) for token in right.tokens)):
        return True
    if right.computes and right.tokens[0].kind == "num":
        first = evaluate(right.tokens[:1])
        if first is not None and _rounded(ours, first, _decimals(right.tokens[0].text)):
            return True
    return None if _read_otherwise(left, right, ours, theirs) else False


def _read_otherwise(left: _Side, right: _Side, ours: Fraction, theirs: Fraction) -> bool:
    """Could a careful writer have meant something else by a left and a right side that differ?"""
    operators = [token.text for token in left.tokens if token.kind == "op"]
    return (
        # 28 / 1/5, where the second stroke is a fraction's
        operators.count("/") > 1
        # 50 / 3 = 16 each, whole stickers
        or (operators == ["/"] and theirs == int(ours))
        # 4 pounds - 6 ounces = 58
        or (len(left.units) > 1 and not {"*", "/"} & set(operators))
        # 20 + 40 = 1 hour
        or (bool(right.units) and ours != 0 and theirs != 0 and bool({ours / theirs, theirs / ours} & _CONVERSIONS))
    )


def _rounded(exact: Fraction, stated: Fraction, decimals: int) -> bool:
    """Is `stated` the exact value rounded to `decimals` places, or cut there (whole numbers are never cut)?"""
    unit = Fraction(1, 10**decimals)
    return abs(exact - stated) <= unit / 2 or (
        decimals > 0 and 0 <= abs(exact) - abs(stated) < unit and exact * stated >= 0
    )


def _decimals(number: str) -> int:
    return len(number.rpartition(".")[2]) if "." in number else 0


def _singular(word: str) -> str:
    return {"dollars": "$", "dollar": "$", "bucks": "$"}.get(word, word.rstrip("s") or word)
