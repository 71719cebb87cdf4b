"""Are two quantities equal? Exactly, with the rules for units, percent and rounding that `correctness` states."""

import re
from fractions import Fraction

from tracemill.verification.answers import units
from tracemill.verification.answers.quantities import Quantity

ROUNDED_DIGITS = 6

_QUESTION = 5_000  # characters read
_ASKS_PERCENT = re.compile(
    r"%|percent|per cent|rate|interest|probability|chance|discount|\b(?:tax|tip)\b", re.IGNORECASE
)
_ASKS_ROUNDED = re.compile(r"\bround|nearest|decimal place|significant|approximat|estimate", re.IGNORECASE)
_BASES = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12,
    "sixteen": 16,
}  # fmt: skip
_DIGITS = re.compile(r"[0-9A-F]{1,60}")
_IN_A_BASE = re.compile(
    rf"\(?({_DIGITS.pattern})\)?\s?(?:_\s?\{{?\s?|\(?base\s)(\d{{1,2}}|{'|'.join(_BASES)})\s?[}})]?\)?$"
)

Verdict = tuple[bool | None, str]


def compare_quantities(gold: Quantity, answer: Quantity, question: str | None) -> Verdict:
    """(equal, the proof); (None, reason) where the units or the percent sign leave it open."""
    proof = "exact rational"
    if not gold.unit.is_none and not answer.unit.is_none:
        if gold.unit.measure and answer.unit.measure:
            if gold.unit.measure != answer.unit.measure:
                return False, "different units"
            return gold.value * gold.unit.size == answer.value * answer.unit.size, proof
        if not gold.unit.words & answer.unit.words:
            return (None, "units differ") if gold.value == answer.value else (False, proof)
    if gold.percent != answer.percent:
        return _percent(gold, answer, question)
    if gold.value == answer.value:
        return True, proof
    if _rounds(gold, answer, question):
        return True, "rounded"
    for bare, measured in ((gold, answer), (answer, gold)):
        if bare.unit.is_none and len(measured.unit.measure) == 1:
            return _other_unit(bare, measured, question) or (False, proof)
    return False, proof


def compare_in_a_base(gold: str, answer: str, question: str | None) -> Verdict | None:
    """Digits in a base, "1011_2"; None if neither is. The base may be left to the question, the digits may not."""
    wanted, given = _IN_A_BASE.match(gold), _IN_A_BASE.match(answer)
    if wanted and given:
        same_digits = wanted[1].lstrip("0") == given[1].lstrip("0")
        return same_digits and _base(wanted) == _base(given), "digits in a base"
    based, digits = (wanted, answer) if wanted else (given, gold)
    if based is None or not _DIGITS.fullmatch(digits):
        return None
    base_asked = wanted or (question and re.search(r"\bbase|binary|octal|hexa", question[-_QUESTION:]))
    if based[1].lstrip("0") == digits.lstrip("0"):
        return (True, "digits in a base") if base_asked else (None, "digits in a base where a number is asked")
    if digits.isdigit() and _in_base_ten(based) == int(digits):
        return None, "the same number in another base"
    return False, "digits in a base"


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


def _percent(gold: Quantity, answer: Quantity, question: str | None) -> Verdict:
    if gold.percent:
        return answer.value in (gold.value, gold.value / 100), "exact rational"
    if gold.value == answer.value:
        if question and not _ASKS_PERCENT.search(question[-_QUESTION:]):
            return None, "a percent where a number is asked"
        return True, "exact rational"
    if gold.value * 100 == answer.value and 0 < gold.value <= 1:
        return None, "a percent where a number is asked"
    return False, "exact rational"


def _rounds(gold: Quantity, answer: Quantity, question: str | None) -> bool:
    if gold.percent or answer.percent:
        return False
    if answer.text and _endless(gold.value) and _is_cut(gold.value, answer):
        return True
    if gold.text and _endless(answer.value) and _is_cut(answer.value, gold):
        return True
    asked = question is not None and _ASKS_ROUNDED.search(question[-_QUESTION:]) is not None
    return asked and bool(gold.text) and _rounded_to(answer.value, gold)


def _is_cut(exact: Fraction, decimal: Quantity) -> bool:
    """Is the decimal long enough, and `exact` rounded or cut to its length?"""
    difference = abs(exact) - abs(decimal.value)
    unit = Fraction(1, 10 ** _places(decimal))
    is_long = len(decimal.text.replace(".", "").lstrip("0")) >= ROUNDED_DIGITS
    return is_long and exact * decimal.value > 0 and -unit / 2 <= difference < unit


def _rounded_to(exact: Fraction, gold: Quantity) -> bool:
    """Does `exact`, which says more than the gold decimal, round to it?"""
    is_near = abs(exact - gold.value) <= Fraction(1, 2 * 10 ** _places(gold))
    return is_near and exact.denominator > gold.value.denominator


def _places(decimal: Quantity) -> int:
    return len(decimal.text.rpartition(".")[2]) if "." in decimal.text else 0


def _endless(value: Fraction) -> bool:
    """Has the value no finite decimal form?"""
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator != 1


def _other_unit(bare: Quantity, measured: Quantity, question: str | None) -> Verdict | None:
    """3 against "180 minutes": right if hours are asked for."""
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
    asked = "|".join(re.escape(name) for name in names if len(name) > 2)
    if asked and re.search(rf"\b(?:how many|in)\s(?:{asked})s?\b", question[-_QUESTION:], re.IGNORECASE):
        return True, "exact rational"
    mentioned = asked and re.search(rf"\b(?:{asked})s?\b", question[-_QUESTION:], re.IGNORECASE)
    return (None, "the same in another unit") if mentioned else None
