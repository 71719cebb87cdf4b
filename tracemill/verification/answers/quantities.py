r"""Numbers as people write them, as exact rationals with their unit; nothing is ever evaluated.

Read: ``1,234.50``, ``1 234,5``, ``3/4``, ``\frac{3}{4}``, ``1 1/2``, ``-$5``, ``25%``, ``1.5 \times 10^{-3}``, ``2e6``,
``0.\overline{3}``, ``5 million``, ``twenty-five``, ``two thirds``, ``2 hours and 30 minutes``, ``5'6"``.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from tracemill.verification.answers import units
from tracemill.verification.answers.units import Unit

MAX_DIGITS = 1_000  # of a number compared exactly
MAX_EXPONENT = 1_000

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+|\.(?!\.))?|\.\d+"
_TEN = r"10\s?\^\s?(?:\{\s?(?P<NAME>[-+]?\d{1,4})\s?\}|(?P<NAMEb>[-+]?\d{1,4})(?!\d))"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s?(?P<money>[$€£¥₹]?)\s?(?P<sign2>[-+]?)\s?"
    rf"(?:(?P<whole>\d{{1,9}})(?:\s?\\frac\s?\{{(?P<wn>\d{{1,30}})\}}\s?\{{(?P<wd>\d{{1,30}})\}}"
    rf"|(?:\s|\sand\s)(?P<pn>\d{{1,30}})\s?/\s?(?P<pd>\d{{1,30}})(?![\d.,]))"
    rf"|\\frac\s?\{{\s?(?P<fsign>[-+]?)\s?(?P<fn>{_DECIMAL})\s?\}}\s?\{{\s?(?P<dsign>[-+]?)\s?(?P<fd>{_DECIMAL})\s?\}}"
    rf"|(?P<before>\d*)\.(?P<fixed>\d*)\\overline\s?\{{(?P<endless>\d{{1,30}})\}}"
    rf"|{_TEN.replace('NAME', 'power')}"
    rf"|(?P<number>{_DECIMAL})(?:[eE](?P<e>[-+]?\d{{1,4}})(?![\w.])|\s?(?:\\times|\\cdot|"
    rf"[x*])\s?{_TEN.replace('NAME', 'times')}"
    rf"|\s?/\s?(?P<over>{_DECIMAL})(?!\s?/))?)"
    r"\s?(?P<scale>(?:hundred|thousand|million|billion|trillion|dozen)\b)?"
    r"\s?(?P<percent>%|per\s?cent\b(?:age points?)?)?(?P<rest>.*)$",
    re.DOTALL,
)
_SPACED = re.compile(r"([-+$€£¥]{0,2}\s?)(\d{1,3}(?:[ ']\d{3})+)(?:([.,])(\d+))?(?![\d/])")
_EUROPEAN = re.compile(
    r"([-+$€£¥]{0,2}\s?)(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?!\d)|([-+$€£¥]{0,2}\s?)(\d{1,3}(?:\.\d{3}){2,})(?![\d,])"
)
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_PART = re.compile(
    rf"\s?(?P<money>[$€£]?)(?P<number>{_DECIMAL})\s?(?P<unit>(?!and\b)[A-Za-z]{{1,12}}\.?|['\"°])?(?:,?\s?(?:and|"
    rf"&)\s|,\s?|\s)?"
)
_LESSER = {"'": "feet", '"': "inches"}

_SMALL = {word: value for value, word in enumerate((
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
))}  # fmt: skip
_TENS = {
    word: 10 * value
    for value, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
_ORDINALS = {"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
             "eighth": 8, "ninth": 9, "tenth": 10}  # fmt: skip
_NUMBER_WORD = re.compile(r"(?:a|an|half|minus|negative|" + "|".join([*_SMALL, *_TENS]) + r")\b", re.IGNORECASE)


_THOUSANDS = re.compile(r"^([-+]?\$\s?\d[\d,.]{0,20})\s?([kKmMbB])$")
_LETTERS = {"k": "thousand", "m": "million", "b": "billion"}
_ENDLESS = re.compile(r"(?<=\.)(\d{0,30}?)(\d)\2{2,30}\s?(?:\.{3}|\\l?dots)$")
_SIGN_WORD = re.compile(r"(?:minus|negative)\s(?=[\d\\$])", re.IGNORECASE)
_AND_A_HALF = re.compile(r"^([-+$]{0,2}\d{1,9}) and a half\b")


class Quantity(NamedTuple):
    """`value` in its own unit, or in percent.

    `text` is its decimal spelling if it has one, `sizes` are the units of its parts if it is "2 hours and 30 minutes".
    """

    value: Fraction
    percent: bool
    unit: Unit
    text: str = ""
    sizes: tuple[Fraction, ...] = ()


def read(value: str) -> Quantity | None:
    """The one quantity that `value` (in `normalize.plain`) is; None if it is none, or anything more."""
    if len(value) > MAX_DIGITS or not value:
        return None
    if value[0] == "(" and value[-1] == ")" and "(" not in value[1:]:
        value = value[1:-1].strip()
    elif value.startswith("-(") and value[-1] == ")" and "(" not in value[2:]:
        value = "-" + value[2:-1].strip()
    if _NUMBER_WORD.match(value):
        if (digits := _SIGN_WORD.match(value)) is None:
            return _in_words(value)
        value = "-" + value[digits.end() :]
    elif " and a half" in value:
        value = _AND_A_HALF.sub(r"\1 1/2", value)
    if " " in value or "'" in value or "." in value:
        value = _american(value)
    if "$" in value:
        value = _THOUSANDS.sub(lambda match: f"{match[1]} {_LETTERS[match[2].lower()]}", value)
    match = _NUMBER.match(_ENDLESS.sub(r"\1\\overline{\2}", value) if value.endswith(("..", "dots")) else value)
    if match is None:
        return None
    rest = match["rest"]
    unit = units.read(match["money"] + rest if not match["money"] else _after_money(match["money"], rest))
    if unit is None or (rest[:1].isalpha() and len(rest.split()[0]) == 1 and rest[0] not in "mgshlLVAWNJCFK"):
        return _compound(value)
    number = _value(match)
    if number is None:
        return None
    minus = sum(match[name] == "-" for name in ("sign", "sign2", "fsign", "dsign"))
    number *= _SCALES.get(match["scale"] or "", 1)
    text = (
        match["number"].replace(",", "")
        if match["number"] and not any(match[name] for name in ("over", "e", "times", "timesb", "scale"))
        else ""
    )
    return Quantity(-number if minus % 2 else number, bool(match["percent"]), unit, text)


def _after_money(sign: str, rest: str) -> str:
    """ "$5 dollars" and "$5 per hour" are of money, "$5 apples" too."""
    found = re.match(r"\s?(?:per\b|/|an?\s)\s?.{1,40}", rest, re.DOTALL)
    read = units.read(rest)
    return f"{sign} {found[0]}" if found else sign if read is not None else rest


def _value(match: re.Match[str]) -> Fraction | None:
    parts = {name: Fraction(text.replace(",", "").rstrip(".")) for name, text in match.groupdict().items()
             if text and name in ("whole", "wn", "wd", "pn", "pd", "fn", "fd", "number", "over")}  # fmt: skip
    if any(parts.get(name) == 0 for name in ("wd", "pd", "fd", "over")):
        return None
    if "whole" in parts:
        return parts["whole"] + (parts["wn"] / parts["wd"] if "wn" in parts else parts["pn"] / parts["pd"])
    if "fn" in parts:
        return parts["fn"] / parts["fd"]
    if match["endless"]:
        places = 10 ** len(match["fixed"])
        fixed = Fraction(int((match["before"] or "0") + match["fixed"]), places)
        return fixed + Fraction(int(match["endless"]), (10 ** len(match["endless"]) - 1) * places)
    exponent = next((int(match[name]) for name in ("power", "powerb", "e", "times", "timesb") if match[name]), 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    return parts.get("number", Fraction(1)) * Fraction(10) ** exponent / parts.get("over", 1)


def _american(value: str) -> str:
    """``1 234,5`` and ``1.234,50`` as ``1234.5``: only where they can mean nothing else."""
    if (spaced := _SPACED.match(value)) is not None and not (spaced[3] == "," and len(spaced[4]) == 3):
        tail = f".{spaced[4]}" if spaced[4] else ""
        return spaced[1] + re.sub(r"[ ']", "", spaced[2]) + tail + value[spaced.end() :]
    if (european := _EUROPEAN.match(value)) is not None:
        if european[2]:
            return f"{european[1]}{european[2].replace('.', '')}.{european[3]}{value[european.end() :]}"
        return f"{european[4]}{european[5].replace('.', '')}{value[european.end() :]}"
    return value


def _compound(value: str) -> Quantity | None:
    """ "2 hours and 30 minutes": parts of one dimension, each smaller than the one before, in units of the first."""
    place, total = 0, Fraction(0)
    first: Unit | None = None
    sizes: list[Fraction] = []
    while place < len(value) and len(sizes) < 5:
        match = _PART.match(value, place)
        if match is None:
            return None
        name = match["unit"] or match["money"] or ""
        unit = units.read(
            _LESSER.get(name, "min" if name == "m" and first and first.measure == (("time", 1),) else name)
        )
        if unit is None or len(unit.measure) != 1 or (sizes and unit.size >= sizes[-1]):
            return None
        if first is not None and unit.measure != first.measure:
            return None
        first = first or unit
        sizes.append(unit.size)
        total += Fraction(match["number"].replace(",", "").rstrip(".")) * unit.size
        place = match.end()
    if first is None or len(sizes) < 2 or place < len(value):
        return None
    return Quantity(total / first.size, False, first, sizes=tuple(sizes))


def _in_words(value: str) -> Quantity | None:
    words = value.lower().replace("-", " ").split()
    minus = words[0] in ("minus", "negative")
    place = int(minus)
    total, current, seen = Fraction(0), Fraction(0), False
    if words[place : place + 1] == ["half"]:
        total, seen, place = Fraction(1, 2), True, place + 1 + (words[place + 1 : place + 2] in (["a"], ["an"]))
    while not total and place < len(words):
        word = words[place]
        if word in _SMALL or word in _TENS:
            current, seen = current + _SMALL.get(word, _TENS.get(word, 0)), True
        elif (
            word in ("a", "an")
            and not seen
            and words[place + 1 : place + 2]
            and (words[place + 1] in _SCALES or words[place + 1] in _ORDINALS)
        ):
            current, seen = Fraction(1), True
        elif word == "hundred" and seen:
            current *= 100
        elif word == "dozen" and seen:
            current *= 12
        elif word in _SCALES and seen:
            return _scaled(current, words, place, minus)
        elif (part := _ORDINALS.get(word) or _ORDINALS.get(word.rstrip("s"))) and seen:
            current /= part
            place += 1
            break
        elif words[place : place + 3] == ["and", "a", "half"] and seen:
            current += Fraction(1, 2)
            place += 3
            break
        elif word == "and" and seen and words[place + 1 : place + 2] and words[place + 1] in {**_SMALL, **_TENS}:
            pass
        else:
            break
        place += 1
    if not seen:
        return None
    return _with_rest(total + current, " ".join(words[place:]), minus)


def _scaled(current: Fraction, words: list[str], place: int, minus: bool) -> Quantity | None:
    above = current * _SCALES[words[place]]
    rest = words[place + 1 :]
    if rest[:1] == ["and"]:
        rest = rest[1:]
    below = _in_words(" ".join(rest)) if rest and _NUMBER_WORD.match(rest[0]) else None
    if below is not None and below.value < _SCALES[words[place]]:
        return below._replace(value=-(above + below.value) if minus else above + below.value)
    return _with_rest(above, " ".join(rest), minus)


def _with_rest(value: Fraction, rest: str, minus: bool) -> Quantity | None:
    percent = re.match(r"per\s?cent\b(?:age points?)?", rest)
    unit = units.read(rest[percent.end() :] if percent else rest)
    return None if unit is None else Quantity(-value if minus else value, percent is not None, unit)
