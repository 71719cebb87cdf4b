"""Hints of a question on how its answer is to be read: variables, a form that is asked, products without exchange."""

import re

#: Before the number of a step or of a page, which answers only a question about steps or pages.
LABEL = (
    r"(step|equation|version|chapter|page|figure|section|line|problem|case|part|table|exercise|question|item|volume)\s"
)
_LABELLED = re.compile(rf"(?:the )?{LABEL}[$(#]{{0,3}}\d", re.IGNORECASE)
_RELATIVE = re.compile(r"\d \w* ?(?:less|more|fewer) than\b|\d(?:st|nd|rd|th) (?P<noun>[a-z]{3,})")
_ASKS_RELATIVE = re.compile(r"\b(?:more|less|fewer|differ\w*|exceed\w*|\w+er than)\b", re.IGNORECASE)
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
_RATIO = re.compile(r"\d[\d.]{0,15}\s?(?::|to)\s?\d[\d.]{0,15}$")
_FRACTION = re.compile(r"-?\d{1,15}\s?/\s?\d{1,15}$|-?\\frac\{\d{1,15}\}\{\d{1,15}\}$")
_ASKS_RATIO = re.compile(r"\bratios?\b|\bodds\b|\bscale\b|\bproportion|比", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?$")
_OPERATORS = tuple(
    (re.compile(rf"\\{command}(?![a-z])|{sign}"), re.compile(rf"\\{command}(?![a-z])|{sign}|\b{word}", re.IGNORECASE))
    for command, sign, word in (
        ("int", "∫", "integra(?:l|te)"), ("sum", "∑", "(?:sums?|series)\b"), ("prod", "∏", "products?\b"),
        ("lim", "lim_", "limits?\b"),
    )
)  # fmt: skip


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


def repeats_operator(gold: str, answer: str, question: str | None) -> bool:
    """Does `answer` leave an integral, sum, product or limit that the question asks to evaluate?"""
    return question is not None and any(
        in_answer.search(answer) and not in_answer.search(gold) and in_question.search(question[-_MAX_QUESTION:])
        for in_answer, in_question in _OPERATORS
    )


def unasked_label(answer: str, question: str | None) -> str:
    """Return the word before the number of a step or of a page, unless the question has it; "" for none."""
    label = _LABELLED.match(answer)
    if label is None or (question and re.search(rf"\b{label[1]}s?\b", question[-_MAX_QUESTION:], re.IGNORECASE)):
        return ""
    return label[1].lower()


def is_relative(answer: str, question: str | None) -> bool:
    """Is a number only a difference or a rank ("5 less than the total", "the 13th prime") that nobody asks for?"""
    relative = _RELATIVE.search(answer)
    if relative is None or question is None:
        return relative is not None
    pattern = re.escape(relative["noun"]) if relative["noun"] else _ASKS_RELATIVE.pattern
    return re.search(pattern, question[-_MAX_QUESTION:], re.IGNORECASE) is None


def doubt_about_ratio(gold: str, answer: str, question: str | None) -> str:
    """Return why a ratio may not equal a number here: 3:4 is no 0.75 litres, and 5:4 no 1.25 hours; "" for no doubt."""
    is_ratio = [_RATIO.match(value) is not None for value in (gold, answer)]
    if is_ratio[0] == is_ratio[1]:
        return ""
    number = answer if is_ratio[0] else gold
    asks_ratio = question is None or _ASKS_RATIO.search(question[-_MAX_QUESTION:]) is not None
    if ":" in number:
        return ""
    is_plain = _PLAIN_NUMBER.match(number) is not None and asks_ratio
    return "" if is_plain or _FRACTION.match(number) else "a ratio and a number"


def has_no_exchange(gold: str, answer: str, question: str | None) -> bool:
    """Is AB other than BA here, and do the two texts hold such a product?"""
    if question is None:
        pairs = {match.groups() for match in _PAIR_OF_CAPITALS.finditer(f"{gold} {answer}")}
        return any(pair[0] < pair[1] and pair[::-1] in pairs for pair in pairs)  # AB - BA
    if not any(map(_PRODUCT_OF_CAPITALS.search, (gold, answer))):
        return False
    return _HAS_NO_EXCHANGE.search(question[-_MAX_QUESTION:]) is not None
