"""Compare two quantities exactly.

`compare` states the rules for units, percent and rounding.
"""

import re
from fractions import Fraction

from tracemill.verification.answers import units
from tracemill.verification.answers.quantities import Quantity

ROUNDED_DIGITS = 6  # significant digits from which a decimal may stand for an endless one

_MAX_QUESTION = 5_000  # characters read of a question, from its end
_ASKS_PERCENT = re.compile(
    r"%|percent|per cent|\bwhat (?:\w+ ){0,4}(?:rate|interest|discount|tax|tip|yield|margin)\b", re.IGNORECASE
)
_ASKS_ROUNDED = re.compile(
    r"\bround|nearest|decimal place|significant|approximat|estimate|\b(?:ge)?rund(?:e|en|et)\b|nachkomma|dezimalstelle"
    r"|arrondi|redond|decimales|arredond|casas decimais|arrotond|zaokrągl|afgerond|rond af|yuvarla|làm tròn|округл"
    r"|\bto (?:\w+ )?decimals?\b|保留.{0,4}小数|四舍五入|精确到|四捨五入|小数第|반올림",
    re.IGNORECASE,
)
_NEAREST = re.compile(r"\bnearest (ten|hundred|thousand|million)\b", re.IGNORECASE)
_NEAREST_SIZES = {"ten": 10, "hundred": 100, "thousand": 1000, "million": 10**6}
_ASKS_UNIT = re.compile(
    r"\b(how many|wie viele|in) ((?:square |cubic )?[a-z]{1,15}(?:\^\{?[23]\}?|[²³])?(?:(?: per |/)[a-z]{1,12})?)(?!\w)"
    r"(?! (?:grade|place)\b)",
    re.IGNORECASE,
)
_GROUPS = frozenset(
    ("pair", "couple", "pack", "packet", "box", "set", "group", "bag", "row", "team", "carton", "case", "crate")
)
#: Degrees and radians measure the same.
_ALIKE = {"radian": "angle"}
_BASES = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12,
    "sixteen": 16,
}  # fmt: skip
_BASE = re.compile(r"\bbase|binary|octal|hexa")
_HEXADECIMAL = re.compile(r"(-?)0[xX]([0-9A-Fa-f]{1,60})$")
_DIGITS = re.compile(r"[0-9A-F]{1,60}")
_IN_A_BASE = re.compile(
    rf"\(?({_DIGITS.pattern})\)?\s?(?:_\s?\{{?\s?|\(?base\s)(\d{{1,2}}|{'|'.join(_BASES)})\s?[}})]?\)?$"
)

Verdict = tuple[bool | None, str]


def compare_quantities(gold: Quantity, answer: Quantity, question: str | None) -> Verdict:
    """Return (are they equal, the proof).

    (None, reason) if units or a percent sign leave it open.
    """
    proof = "exact rational"
    if not gold.unit.is_none and not answer.unit.is_none:
        if gold.unit.measure and answer.unit.measure:
            if gold.unit.measure != answer.unit.measure:
                return False, "different units"
            return gold.value * gold.unit.size == answer.value * answer.unit.size, proof
        if not gold.unit.words & answer.unit.words:
            return (None, "units differ") if gold.value == answer.value else (False, proof)
    if gold.percent != answer.percent and not (gold if answer.percent else answer).unit.is_none:
        return (None, "units differ") if gold.value == answer.value else (False, proof)
    if gold.percent != answer.percent:
        return _compare_percent(gold, answer, question)
    if gold.value == answer.value:
        return _compare_asked_unit(gold, answer, question) or (True, proof)
    if _is_rounded(gold, answer, question):
        return True, "rounded"
    for bare, measured in ((gold, answer), (answer, gold)):
        if bare.unit.is_none and len(measured.unit.measure) == 1:
            return _compare_other_unit(bare, measured, question) or (False, proof)
    return False, proof


def compare_in_a_base(gold: str, answer: str, question: str | None) -> Verdict | None:
    """Compare digits in a base, such as "1011_2"; None if neither answer has a base.

    One of them may omit the base if the question names it. The digits must be equal.
    """
    if "x" in (gold + answer).lower() and (hexadecimal := _compare_hexadecimal(gold, answer)) is not None:
        return hexadecimal
    gold_match, answer_match = (_digits_in_a_base(value, question) for value in (gold, answer))
    if gold_match and answer_match:
        same_digits = gold_match[1].lstrip("0") == answer_match[1].lstrip("0")
        if _base(gold_match) != _base(answer_match) and _in_base_ten(gold_match) == _in_base_ten(answer_match):
            return None, "the same number in another base"
        return same_digits and _base(gold_match) == _base(answer_match), "digits in a base"
    based, digits = (gold_match, answer) if gold_match else (answer_match, gold)
    if based is None or not _DIGITS.fullmatch(digits):
        return None
    is_base_known = gold_match or (question and _BASE.search(question[-_MAX_QUESTION:]))
    if based[1].lstrip("0") == digits.lstrip("0"):
        return (True, "digits in a base") if is_base_known else (None, "digits in a base where a number is asked")
    if digits.isdigit() and _in_base_ten(based) == int(digits):
        return None, "the same number in another base"
    return False, "digits in a base"


def _compare_hexadecimal(gold: str, answer: str) -> Verdict | None:
    """Compare 0x1f with 0x1F; None if neither has a prefix."""
    matches = [_HEXADECIMAL.match(value) for value in (gold, answer)]
    if not any(matches):
        return None
    values = [int(match[1] + match[2], 16) if match else None for match in matches]
    if None in values:
        return None, "a number in another base"
    return values[0] == values[1], "digits in a base"


def _digits_in_a_base(value: str, question: str | None) -> re.Match[str] | None:
    """Match digits in a base. ``C_4`` is a name: letters alone are digits only where the question names a base."""
    match = _IN_A_BASE.match(value)
    if match is None or _in_base_ten(match) is None:
        return None
    has_digit = any(char.isdigit() for char in match[1])
    return match if has_digit or "base" in value or (question and _BASE.search(question[-_MAX_QUESTION:])) else None


def _base(match: re.Match[str]) -> int:
    return _BASES.get(match[2]) or int(match[2])


def _in_base_ten(match: re.Match[str]) -> int | None:
    base = _base(match)
    digits = [int(digit, 16) for digit in match[1]]
    if any(digit >= base for digit in digits):
        return None
    value = 0
    for digit in digits:
        value = value * base + digit
    return value


def _compare_percent(gold: Quantity, answer: Quantity, question: str | None) -> Verdict:
    if gold.percent:
        return answer.value in (gold.value, gold.value / 100), "exact rational"
    if gold.value == answer.value:
        if question is None:
            return (
                (None, "a percent where a share may be asked") if 0 < abs(gold.value) < 1 else (True, "exact rational")
            )
        if not _ASKS_PERCENT.search(question[-_MAX_QUESTION:]):
            return None, "a percent where a number is asked"
        return True, "exact rational"
    if gold.value * 100 == answer.value and 0 < gold.value <= 1:
        return None, "a percent where a number is asked"
    return False, "exact rational"


def _is_rounded(gold: Quantity, answer: Quantity, question: str | None) -> bool:
    if gold.percent or answer.percent:
        return False
    if answer.text and _is_endless(gold.value) and _is_cut(gold.value, answer):
        return True
    if gold.text and _is_endless(answer.value) and _is_cut(answer.value, gold):
        return True
    if question is None or not gold.text or not asks_rounded(question):
        return False
    if (nearest := _NEAREST.search(question[-_MAX_QUESTION:])) is not None:
        size = _NEAREST_SIZES[nearest[1].lower()]
        return gold.value % size == 0 and answer.value % size != 0 and abs(answer.value - gold.value) * 2 <= size
    return _rounds_to(answer.value, gold)


def asks_rounded(question: str | None) -> bool:
    """Does the question ask for a rounded value?"""
    return question is not None and _ASKS_ROUNDED.search(question[-_MAX_QUESTION:]) is not None


def _is_cut(exact: Fraction, decimal: Quantity) -> bool:
    """Is the decimal long enough, and equal to `exact` rounded or cut to its length?"""
    difference = abs(exact) - abs(decimal.value)
    unit = Fraction(1, 10 ** _n_decimals(decimal))
    is_long = len(decimal.text.replace(".", "").lstrip("0")) >= ROUNDED_DIGITS
    return is_long and exact * decimal.value > 0 and -unit / 2 <= difference < unit


def _rounds_to(exact: Fraction, gold: Quantity) -> bool:
    """Is `exact` more precise than the gold decimal, and does it round to it?"""
    scale = 10 ** _n_decimals(gold)
    return abs(exact - gold.value) <= Fraction(1, 2 * scale) and (exact * scale).denominator > 1


def _n_decimals(decimal: Quantity) -> int:
    return len(decimal.text.rpartition(".")[2]) if "." in decimal.text else 0


def _is_endless(value: Fraction) -> bool:
    """Is the decimal expansion of `value` infinite?"""
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator != 1


def _compare_asked_unit(gold: Quantity, answer: Quantity, question: str | None) -> Verdict | None:
    """Compare the unit of an answer with the one that the question asks for; None if they do not differ.

    "5 km" does not answer "how many meters", though the gold answer 5 names no unit.
    """
    if question is None or not gold.unit.is_none or answer.unit.is_none:
        return None
    unit_words = [(match[1], match[2]) for match in _ASKS_UNIT.finditer(question[-_MAX_QUESTION:])]
    if groups := answer.unit.words & _GROUPS:
        counted = " ".join(word.lower() for how, word in unit_words if how.lower() != "in")
        return (None, "groups of what is asked") if counted and not any(word in counted for word in groups) else None
    if not answer.unit.measure:
        return None
    units_by_word = [
        (how, unit)
        for how, word in unit_words
        if (unit := units.read(word.replace("²", "^2").replace("³", "^3"))) and unit.measure
    ]
    sizes = {unit.size for _, unit in units_by_word if unit.measure == answer.unit.measure}
    if sizes:
        return (False, "another unit than is asked") if answer.unit.size not in sizes else None
    dimensions = {_ALIKE.get(name, name) for _, unit in units_by_word for name, _ in unit.measure}
    is_alike = not dimensions.isdisjoint(_ALIKE.get(name, name) for name, _ in answer.unit.measure)
    is_asked = is_alike or any(how.lower() != "in" for how, _ in units_by_word)
    return (None, "another unit than is asked") if is_asked else None


def _compare_other_unit(bare: Quantity, measured: Quantity, question: str | None) -> Verdict | None:
    """Compare a bare number with a quantity in another unit.

    3 equals "180 minutes" if the question asks for hours. None if the unit is no reason to call them equal.
    """
    dimension, power = measured.unit.measure[0]
    if power != 1 or not bare.value:
        return None
    size = measured.value * measured.unit.size / bare.value
    names = units.sizes(dimension).get(size)
    if names is None:
        return None
    if size in measured.sizes:
        return True, "exact rational"
    if question is None:
        return None, "the same in another unit"
    pattern = "|".join(re.escape(name) for name in names if len(name) > 2)
    if pattern and re.search(rf"\b(?:how many|in)\s(?:{pattern})s?\b", question[-_MAX_QUESTION:], re.IGNORECASE):
        return True, "exact rational"
    is_mentioned = pattern and re.search(rf"\b(?:{pattern})s?\b", question[-_MAX_QUESTION:], re.IGNORECASE)
    return (None, "the same in another unit") if is_mentioned else None
