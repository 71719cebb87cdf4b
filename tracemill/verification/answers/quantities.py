r"""Parse numbers as people write them into exact rationals with a unit.

No text is evaluated as code. Examples: ``1,234.50``, ``1 234,5``, ``3/4``, ``\frac{3}{4}``, ``1 1/2``, ``-$5``,
``25%``, ``1.5 \times 10^{-3}``, ``2e6``, ``0.\overline{3}``, ``5 million``, ``twenty-five``, ``two thirds``,
``2 hours and 30 minutes``, ``5'6"``.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from tracemill.verification.answers import units
from tracemill.verification.answers.units import Unit

MAX_DIGITS = 1_000  # characters of a number that is compared exactly
MAX_EXPONENT = 1_000  # of ten

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
    r"\s?(?P<scale>(?i:hundreds?|thousands?|millions?|billions?|trillions?|dozens?|lakhs?|crores?|mn|bn|tn|mln|mio|mrd"
    r"|tausend|millionen|milliarden?|milliards?|millones|milhões|milioni|mille|halves|thirds|fifths|sixths"
    r"|sevenths|eighths|ninths|tenths?|hundredths?|thousandths?|millionths?|billionths?|trillionths?"
    r"|тысяч[аи]?|миллион(?:а|ов)?|миллиард(?:а|ов)?)\b|[千万億亿만억](?![^\W\d_]{2}))?"
    r"\s?(?P<percent>%|(?:per\s?cent(?:age(?: points?)?)?|pct)\b)?(?P<rest>.*)$",
    re.DOTALL,
)
_SPACED = re.compile(r"([-+$€£¥]{0,2}\s?)(\d{1,3}(?:[ ']\d{3})+)(?:([.,])(\d+))?(?![\d/])")
_EUROPEAN = re.compile(
    r"([-+$€£¥]{0,2}\s?)(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?!\d)|([-+$€£¥]{0,2}\s?)(\d{1,3}(?:\.\d{3}){2,})(?![\d,])"
)
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_OTHER_SCALES = {
    name: size
    for size, names in (
        (10**3, "tausend mille тысяча тысячи тысяч 千"), (10**4, "万 만"), (10**5, "lakh"),
        (10**6, "mn mln mio millionen millones milhões milioni миллион миллиона миллионов"), (10**7, "crore"),
        (10**8, "億 亿 억"), (10**9, "bn mrd milliarde milliarden milliard миллиард миллиарда миллиардов"),
        (10**12, "tn"),
    )
    for name in names.split()
}  # fmt: skip
_PART = re.compile(
    rf"\s?(?P<money>[$€£]?)(?P<number>{_DECIMAL})\s?(?P<unit>(?!and\b)[A-Za-z]{{1,12}}\.?|['\"°])?(?:,?\s?(?:and|"
    rf"&)\s|,\s?|\s)?"
)
_PRIME_UNITS = {"'": "feet", '"': "inches"}

_SMALL_NUMBERS = {word: value for value, word in enumerate((
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
))}  # fmt: skip
_TENS = {
    word: 10 * value
    for value, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
_ORDINALS = {"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
             "eighth": 8, "ninth": 9, "tenth": 10, "hundredth": 100, "thousandth": 1000, "millionth": 10**6,
             "billionth": 10**9, "trillionth": 10**12}  # fmt: skip
_NUMBER_WORD = re.compile(
    r"(?:a|an|half|point|minus|negative|" + "|".join([*_SMALL_NUMBERS, *_TENS]) + r")\b", re.IGNORECASE
)


_THOUSANDS = re.compile(r"^([-+]?\$\s?\d[\d,.]{0,20})\s?([kKmMbB])$")
_CURRENCY = re.compile(r"(USD|EUR|GBP|INR|JPY|US(?=\$)|CA(?=\$)|AU(?=\$)|Rs\.?)\s?(?=[\d$])\$?", re.IGNORECASE)
_CURRENCY_SIGNS = {"USD": "$", "US": "$", "CA": "$", "AU": "$", "EUR": "€", "GBP": "£", "INR": "₹", "RS": "₹",
                   "JPY": "¥"}  # fmt: skip
_SCALE_LETTERS = {"k": "thousand", "m": "million", "b": "billion"}
_ENDLESS = re.compile(r"(?<=\.)(\d{0,30}?)(\d)\2{2,30}\s?(?:\.{3}|\\l?dots)$")
#: A decade is no number: 1990s. Neither is the 13th prime.
_NO_QUANTITY = re.compile(r"(?:1\d|20)\d0s$|\d{1,6}(?:st|nd|rd|th)\s[A-Za-z]")
_PER_MILLE = re.compile(r"(.{0,40}\d)\s?(?:‰|per ?mille|permille?)$")
_HOURS_AND_MINUTES = re.compile(r"(\d{1,3}):([0-5]\d)\s?(?:hours?|hrs?|h)$")
_SIGN_WORD = re.compile(r"(?:minus|negative)\s(?=[\d\\$])", re.IGNORECASE)
_AND_A_HALF = re.compile(r"^([-+$]{0,2}\d{1,9}) and a half\b")


_CHINESE = {**{digit: value for value, digit in enumerate("零一二三四五六七八九")}, "〇": 0, "两": 2, "十": 10,
            "百": 100, "千": 1000, "万": 10**4, "亿": 10**8, "億": 10**8}  # fmt: skip


class Quantity(NamedTuple):
    """A number with its unit; `value` counts units, or percent.

    `text` is its decimal spelling, if it has one. `sizes` are the unit sizes of its parts ("2 hours and 30 minutes").
    """

    value: Fraction
    percent: bool
    unit: Unit
    text: str = ""
    sizes: tuple[Fraction, ...] = ()


def read(value: str) -> Quantity | None:
    """Return the quantity in `value`, a text as `normalize.plain` spells it.

    None unless the whole text is one quantity.
    """
    if len(value) > MAX_DIGITS or not value or _NO_QUANTITY.match(value):
        return None
    if (per_mille := _PER_MILLE.match(value)) is not None:
        share = read(per_mille[1])
        return share._replace(value=share.value / 1000, text="") if share and share.unit.is_none else None
    if (time := _HOURS_AND_MINUTES.match(value)) is not None:
        value = f"{time[1]} hours {time[2]} minutes"
    if value[0] == "(" and value[-1] == ")" and "(" not in value[1:]:
        value = value[1:-1].strip()
    elif value.startswith("-(") and value[-1] == ")" and "(" not in value[2:]:
        value = "-" + value[2:-1].strip()
    if value[0] in _CHINESE and (chinese := _chinese_number(value)) is not None:
        return Quantity(chinese, False, units.NONE)
    if _NUMBER_WORD.match(value):
        if (digits := _SIGN_WORD.match(value)) is None:
            return _in_words(value)
        value = "-" + value[digits.end() :]
    elif " and a half" in value:
        value = _AND_A_HALF.sub(r"\1 1/2", value)
    if " " in value or "'" in value or "." in value:
        value = _with_decimal_point(value)
    if value[0].isalpha() and (currency := _CURRENCY.match(value)) is not None:
        value = _CURRENCY_SIGNS[currency[1].rstrip(".").upper()] + value[currency.end() :]
    if "$" in value:
        value = _THOUSANDS.sub(lambda match: f"{match[1]} {_SCALE_LETTERS[match[2].lower()]}", value)
    match = _NUMBER.match(_ENDLESS.sub(r"\1\\overline{\2}", value) if value.endswith(("..", "dots")) else value)
    if match is None:
        return None
    rest = match["rest"]
    if rest.startswith("-"):
        return None  # "a 7-digit number"
    unit = units.read(match["money"] + rest if not match["money"] else _money_unit(match["money"], rest))
    if unit is None or (
        rest[:1].isalpha() and rest[0].isascii() and len(rest.split()[0]) == 1 and rest[0] not in "mgshlLVAWNJCFK"
    ):
        return _sum_of_parts(value)
    number = _number_value(match)
    if number is None or _is_algebra(value, match):
        return None
    n_minus_signs = sum(match[name] == "-" for name in ("sign", "sign2", "fsign", "dsign"))
    number *= _scale((match["scale"] or "").lower())
    text = (
        match["number"].replace(",", "")
        if match["number"] and not any(match[name] for name in ("over", "e", "times", "timesb", "scale"))
        else ""
    )
    return Quantity(-number if n_minus_signs % 2 else number, bool(match["percent"]), unit, text)


def _scale(word: str) -> Fraction:
    """Return the factor of a word after a number: million, lakh, hundredths."""
    if not word:
        return Fraction(1)
    singular = word.removesuffix("s")
    factor = _SCALES.get(singular) or _OTHER_SCALES.get(word) or _OTHER_SCALES.get(singular)
    return Fraction(factor) if factor else Fraction(1, _ORDINALS[word] if word in _ORDINALS else _ORDINALS[word[:-1]])


def _is_algebra(value: str, match: re.Match[str]) -> bool:
    """Do letters follow the digits without a space that are no unit ("3xy", "0x1F")?"""
    letters = re.match(r"[A-Za-z]{2,4}(?![A-Za-z])|[A-Za-z][\dA-Fa-f]", match["rest"])
    is_glued = letters is not None and value[match.start("rest") - 1].isdigit()
    return is_glued and letters is not None and not units.is_known(letters[0])


def _money_unit(sign: str, rest: str) -> str:
    """Return the unit of an amount with a money sign.

    "$5 dollars", "$5 per hour" and "$5 apples" are all money.
    """
    rate = re.match(r"\s?(?:per\b|/|an?\s)\s?.{1,40}", rest, re.DOTALL)
    unit = units.read(rest)
    return f"{sign} {rate[0]}" if rate else sign if unit is not None else rest


def _number_value(match: re.Match[str]) -> Fraction | None:
    parts = {name: Fraction(text.replace(",", "").rstrip(".")) for name, text in match.groupdict().items()
             if text and name in ("whole", "wn", "wd", "pn", "pd", "fn", "fd", "number", "over")}  # fmt: skip
    if any(parts.get(name) == 0 for name in ("wd", "pd", "fd", "over")):
        return None
    if "whole" in parts:
        return parts["whole"] + (parts["wn"] / parts["wd"] if "wn" in parts else parts["pn"] / parts["pd"])
    if "fn" in parts:
        return parts["fn"] / parts["fd"]
    if match["endless"]:
        scale = 10 ** len(match["fixed"])
        fixed = Fraction(int((match["before"] or "0") + match["fixed"]), scale)
        return fixed + Fraction(int(match["endless"]), (10 ** len(match["endless"]) - 1) * scale)
    exponent = next((int(match[name]) for name in ("power", "powerb", "e", "times", "timesb") if match[name]), 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    return parts.get("number", Fraction(1)) * Fraction(10) ** exponent / parts.get("over", 1)


def _with_decimal_point(value: str) -> str:
    """Rewrite ``1 234,5`` and ``1.234,50`` as ``1234.5``, if that is certain."""
    if (spaced := _SPACED.match(value)) is not None and not (spaced[3] == "," and len(spaced[4]) == 3):
        tail = f".{spaced[4]}" if spaced[4] else ""
        return spaced[1] + re.sub(r"[ ']", "", spaced[2]) + tail + value[spaced.end() :]
    if (european := _EUROPEAN.match(value)) is not None:
        if european[2]:
            return f"{european[1]}{european[2].replace('.', '')}.{european[3]}{value[european.end() :]}"
        return f"{european[4]}{european[5].replace('.', '')}{value[european.end() :]}"
    return value


def _sum_of_parts(value: str) -> Quantity | None:
    """Return the sum of "2 hours and 30 minutes", in units of the first part.

    The parts have one dimension, and each unit is smaller than the one before.
    """
    position, total = 0, Fraction(0)
    first: Unit | None = None
    sizes: list[Fraction] = []
    while position < len(value) and len(sizes) < 5:
        match = _PART.match(value, position)
        if match is None:
            return None
        name = match["unit"] or match["money"] or ""
        unit = units.read(
            _PRIME_UNITS.get(name, "min" if name == "m" and first and first.measure == (("time", 1),) else name)
        )
        if unit is None or len(unit.measure) != 1 or (sizes and unit.size >= sizes[-1]):
            return None
        if first is not None and unit.measure != first.measure:
            return None
        first = first or unit
        sizes.append(unit.size)
        total += Fraction(match["number"].replace(",", "").rstrip(".")) * unit.size
        position = match.end()
    if first is None or len(sizes) < 2 or position < len(value):
        return None
    return Quantity(total / first.size, False, first, sizes=tuple(sizes))


def _in_words(value: str) -> Quantity | None:
    words = value.lower().replace("-", " ").split()
    if "point" in words:
        return _decimal_in_words(words)
    is_negative = words[0] in ("minus", "negative")
    index = int(is_negative)
    total, current, has_number = Fraction(0), Fraction(0), False
    if words[index : index + 1] == ["half"]:
        total, has_number, index = Fraction(1, 2), True, index + 1 + (words[index + 1 : index + 2] in (["a"], ["an"]))
    while not total and index < len(words):
        word = words[index]
        if word in _SMALL_NUMBERS or word in _TENS:
            current, has_number = current + _SMALL_NUMBERS.get(word, _TENS.get(word, 0)), True
        elif (
            word in ("a", "an")
            and not has_number
            and words[index + 1 : index + 2]
            and (words[index + 1] in _SCALES or words[index + 1] in _ORDINALS)
        ):
            current, has_number = Fraction(1), True
        elif word == "hundred" and has_number:
            current *= 100
        elif word == "dozen" and has_number:
            current *= 12
        elif word in _SCALES and has_number:
            return _above_scale(current, words, index, is_negative)
        elif (part := _ORDINALS.get(word) or _ORDINALS.get(word.rstrip("s"))) and has_number:
            current /= part
            index += 1
            break
        elif words[index : index + 3] == ["and", "a", "half"] and has_number:
            current += Fraction(1, 2)
            index += 3
            break
        elif (
            word == "and"
            and has_number
            and words[index + 1 : index + 2]
            and words[index + 1] in {**_SMALL_NUMBERS, **_TENS}
        ):
            pass
        else:
            break
        index += 1
    if not has_number:
        return None
    return _with_rest(total + current, " ".join(words[index:]), is_negative)


def _decimal_in_words(words: list[str]) -> Quantity | None:
    """Return the value of "two point five", each digit after the point in a word of its own."""
    at = words.index("point")
    digits = [_SMALL_NUMBERS.get(word, 10) for word in words[at + 1 :]]
    integer = _in_words(" ".join(words[:at])) if at else Quantity(Fraction(0), False, units.NONE)
    if integer is None or not integer.unit.is_none or not 0 < len(digits) <= 20 or max(digits) > 9:
        return None
    decimals = Fraction(int("".join(map(str, digits))), 10 ** len(digits))
    is_negative = words[0] in ("minus", "negative")
    return Quantity(integer.value - decimals if is_negative else integer.value + decimals, False, units.NONE)


def _above_scale(current: Fraction, words: list[str], index: int, is_negative: bool) -> Quantity | None:
    high_part = current * _SCALES[words[index]]
    rest = words[index + 1 :]
    if rest[:1] == ["and"]:
        rest = rest[1:]
    low_part = _in_words(" ".join(rest)) if rest and _NUMBER_WORD.match(rest[0]) else None
    if low_part is not None and low_part.value < _SCALES[words[index]]:
        return low_part._replace(value=-(high_part + low_part.value) if is_negative else high_part + low_part.value)
    return _with_rest(high_part, " ".join(rest), is_negative)


def _with_rest(value: Fraction, rest: str, is_negative: bool) -> Quantity | None:
    percent = re.match(r"per\s?cent\b(?:age points?)?", rest)
    unit = units.read(rest[percent.end() :] if percent else rest)
    return None if unit is None else Quantity(-value if is_negative else value, percent is not None, unit)


def _chinese_number(value: str) -> Fraction | None:
    """Return the value of a Chinese numeral, such as 三百二十; None for any other text."""
    if len(value) > 20 or not all(char in _CHINESE for char in value):
        return None
    total = section = digit = 0
    for char in value:
        number = _CHINESE[char]
        if number < 10:
            if digit:
                return None  # digits without their places: 二三
            digit = number
        elif number < 10**4:
            section, digit = section + (digit or 1) * number, 0
        else:
            total, section, digit = total + (section + digit or 1) * number, 0, 0
    return Fraction(total + section + digit)
