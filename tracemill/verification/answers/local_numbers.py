"""Numbers whose spelling depends on the language or on the words of the question.

"1.500" is 1500 in a German question, "25,4" is 25.4, "1,50,000" has Indian thousands, "5k" is 5000, and "5 million" is
5 if the question asks for millions.
"""

import re

from tracemill.verification.answers import quantities
from tracemill.verification.answers.quantities import Quantity
from tracemill.verification.answers.quantity_equality import compare_quantities

MAX_QUESTION = 5_000  # characters read of a question, from its end
INDIAN = re.compile(r"[-₹$ ]{0,3}(?:Rs\.?\s?)?\d{1,2}(?:,\d{2})+,\d{3}(?![\d,])")
#: Words of German, French, Spanish, Portuguese, Italian, Polish, Dutch and Turkish questions, and Cyrillic letters.
_HAS_DECIMAL_COMMAS = re.compile(
    r"\b(?:wie|berechne|welche[rsn]?|runde|quelle?s?|combien|calcule[rz]?|cu[aá]l(?:es)?|cu[aá]nt[oa]s?|calcula|qual"
    r"|quant[oaie]s?|calcola|ile|oblicz|hoeveel|bereken|kaç)\b|[а-яё]{3}",
    re.IGNORECASE,
)
_DECIMAL_COMMA = re.compile(r"-?(\d+,(?:\d{1,2}|\d{4,9}))(?!\d)(?:$|\s?([^\W\d_]{1,12}|[€£%])$)")
_THOUSANDS_POINT = re.compile(r"-?[1-9]\d{0,2}(?:\.\d{3})+$")
_THOUSANDS_LETTER = re.compile(r"(-?\d{1,3}(?:\.\d{1,2})?)k$")
_SCALE = re.compile(r"(-?[\d.,]{1,30}) ?(thousand|million|billion|trillion|lakh|crore)s?$")
_ASKS_SCALE = r"\b(?:how many|in) {}s?\b"

Verdict = tuple[bool | None, str]


def has_decimal_commas(question: str | None) -> bool:
    """Is the question in a language with decimal commas?"""
    return question is not None and _HAS_DECIMAL_COMMAS.search(question[-MAX_QUESTION:]) is not None


def compare_local_numbers(gold: str, answer: str, question: str | None) -> Verdict | None:
    """Compare two numbers, if one of them has another value in the language or in the scale of the question."""
    if INDIAN.fullmatch(gold) and (answer_quantity := quantities.read(answer)) is not None:
        gold_quantity = quantities.read(gold.replace(",", ""))
        return compare_quantities(gold_quantity, answer_quantity, question) if gold_quantity else None
    if (letter := _THOUSANDS_LETTER.match(answer)) is not None and (gold_quantity := quantities.read(gold)) is not None:
        return _if_equal(gold_quantity, f"{letter[1]} thousand", "thousands, or a variable k")
    if question is None:
        return None
    for value, other in ((gold, answer), (answer, gold)):
        scale = _SCALE.match(value)
        if scale and re.search(_ASKS_SCALE.format(scale[2]), question[-MAX_QUESTION:], re.IGNORECASE):
            return _if_equal(quantities.read(other), scale[1], None)
    if has_decimal_commas(question):
        for value, other in ((gold, answer), (answer, gold)):
            if _THOUSANDS_POINT.match(value):
                quantity = quantities.read(other) or quantities.read(other.replace(",", "."))
                return _if_equal(quantity, value.replace(".", ""), "a decimal point, or thousands")
    return None


def _if_equal(quantity: Quantity | None, number: str, doubt: str | None) -> Verdict | None:
    """Return True if `number` has the value of `quantity`; otherwise the doubt, if there is one."""
    other = quantities.read(number)
    if quantity is None or other is None:
        return None
    if quantity.value == other.value:
        return True, "exact rational"
    return None if doubt is None else (None, doubt)


def compare_other_commas(gold: Quantity, answer: str, question: str | None) -> Verdict | None:
    """Compare a decimal comma ("25,4 kg") and Indian thousands ("1,50,000") with a number; None for other texts.

    Two short numbers around a comma may be two answers. A unit, four digits that agree, or a question in a language
    with decimal commas make them one.
    """
    if INDIAN.match(answer):
        quantity = quantities.read(answer.replace(",", ""))
        return (True, "exact rational") if quantity and quantity.value == gold.value else None
    comma = _DECIMAL_COMMA.match(answer)
    quantity = quantities.read(answer.replace(",", ".")) if comma else None
    if quantity is not None and has_decimal_commas(question):
        return compare_quantities(gold, quantity, question)
    if comma is None or quantity is None or quantity.value != gold.value:
        return None
    if comma[2] or len(comma[1]) > 5:
        return compare_quantities(gold, quantity, None)
    return None, "a decimal comma, or more than one answer"
