"""Hints of a question on how its answer is to be read: variables, a form that is asked, products without exchange."""

import re

_MAX_QUESTION = 5_000  # characters read of a question, from its end
_NUMBER_AND_LETTER = re.compile(r"-?[\d.,/]{1,40}\s?([A-Za-z])$")
_ASKS_FOR_FORM = re.compile(
    r"\bfactori[sz]|\bfactors\b|\bexpression (?:that|which|using|with)\b|\bexpand(?:ed)?\b"
    r"|\b(?:make|reach|obtain|get|form) \d+ (?:using|from|with|out of)\b",  # countdown games ask for the expression
    re.IGNORECASE,
)
_HAS_NO_EXCHANGE = re.compile(
    r"\bmatri(?:x|ces)\b|\boperators?\b|\bquaternion|\bgroup\b|\bcommutator|\binvertible\b", re.IGNORECASE
)
_PRODUCT_OF_CAPITALS = re.compile(r"(?<![A-Za-z\\])[A-Z](?:\^\{?-?\d\}?)?[A-Z](?![A-Za-z])|e\^\{?[A-Z]")
_PAIR_OF_CAPITALS = re.compile(r"(?<![A-Za-z\\])([A-Z])(?:\^\{?-?\d\}?)?\s?([A-Z])(?![A-Za-z])")
_OPERATION = re.compile(r"\d\)?\s?(?:[-+*/^]|\\(?:times|cdot|div))\s?\(?\d")
_PLAIN_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?$")


def names_a_variable(value: str, question: str | None) -> bool:
    """Is the letter after a number a variable of the question ("5m" for "Simplify 2m + 3m"), not a unit?"""
    if question is None or (match := _NUMBER_AND_LETTER.match(value)) is None:
        return False
    letter = match[1]
    in_question = rf"\$\s?{letter}\s?\$|\d\s?{letter}\s?[-+]|[-+]\s?\d{{0,9}}{letter}(?![A-Za-z])"
    return re.search(in_question, question[-_MAX_QUESTION:]) is not None


def asks_for_form(gold: str, answer: str, question: str | None) -> bool:
    """Does the question ask for a product or an expression, while `answer` is only its value?"""
    if not question or not _PLAIN_NUMBER.match(answer) or not _OPERATION.search(gold):
        return False
    return _ASKS_FOR_FORM.search(question[-_MAX_QUESTION:]) is not None


def has_no_exchange(gold: str, answer: str, question: str | None) -> bool:
    """Is AB other than BA here, and do the two texts hold such a product?"""
    if question is None:
        pairs = {match.groups() for match in _PAIR_OF_CAPITALS.finditer(f"{gold} {answer}")}
        return any(pair[0] < pair[1] and pair[::-1] in pairs for pair in pairs)  # AB - BA
    if not any(map(_PRODUCT_OF_CAPITALS.search, (gold, answer))):
        return False
    return _HAS_NO_EXCHANGE.search(question[-_MAX_QUESTION:]) is not None
