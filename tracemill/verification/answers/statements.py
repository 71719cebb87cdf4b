"""Compare answers in a sentence, answers of several values, and answers with ≈, with a gold value.

Each takes `compare_values`, the comparison of two single values.
"""

import re
from collections.abc import Callable
from fractions import Fraction

from tracemill.verification.answers import quantities
from tracemill.verification.answers.equation_answers import is_name
from tracemill.verification.answers.local_numbers import compare_other_commas
from tracemill.verification.answers.other_languages import OPEN
from tracemill.verification.answers.quantity_equality import compare_quantities
from tracemill.verification.answers.question_hints import unasked_label

MAX_APPROXIMATION = Fraction(1, 20)  # the largest relative difference of two values around ≈

SEPARATOR = re.compile(
    r"\s?(?:[;,]\s?(?:and|or)\s|\b(?:or|and|i\.e\.)\s|\\(?:lor|land|vee|wedge)(?![a-z])|;|,(?!\d{3}(?!\d))|,\s)\s?"
)
DENIAL = re.compile(
    r"\b(?:not|never|no longer|neither|nor|cannot|except)\b|n't\b|\\ne(?:q|g)?(?![a-z])|\\not(?![a-z])|!=|≠"
)
CALCULATION = re.compile(
    r"\b(?:half|halves|third|thirds|quarters?|twice|double|triple|plus|minus|times|squared|cubed|root|sum|"
    r"product|power|factorial|reciprocal|opposite|inverse|factors?|divisors?|divisible|multiples?|digits?|ends? in|"
    r"ending in|(?:square|cube|log|logarithm|average|mean) of|below zero|divided|"
    r"multiplied|unity|none|nothing|nobody|no one|both|pair|first|second|fourth|fifth|sixth|seventh|"
    r"eighth|ninth|tenth|dozen|hundred|thousand|million|billion|choose|percent|negative|pi|infinity|infinite|"
    r"(?<=\d )(?:score|grand|gross|mil)|"
    r"(?:over|(?:less|more|fewer) than)\s(?=\d))\b|\w\(",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"\b(?:at least|at most|(?:more|less|fewer|greater|larger|smaller) than|up to|between|over|under|above|below|"
    r"minimum|"
    r"maximum|nearly|almost|or more|or less)\b|(?<!=)[<>](?!=)|\\[lg]e?(?![a-z])|\d\s?(?:to|through)\s?\d|\\pm|\+/-",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"\b(?:or|maybe|perhaps|possibly|might|could|may|either|unsure|not sure|guess|unclear|but|doubt|wrong|"
    r"incorrect|false|unknown|undetermined|cannot be determined|(?:could not|couldn't|unable to|cannot) (?:solve|find)|"
    r"if\b.{1,80}\b(?:were|had)|one of)\b",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"(?<![\w.])[-$]{0,2}(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?%?(?!\w*[\^_])")
Verdict = tuple[bool | None, str]
#: Compares a gold value, an answer and the question.
Compare = Callable[[str, str, str | None], Verdict]


def compare_several(gold: str, answer: str, question: str | None, compare_values: Compare) -> Verdict | None:
    """Compare an answer of several values with one gold value.

    It is right only if all its values are equal. None if the answer has only one value.
    """
    if r"\pm" in answer or "+/-" in answer:
        return False, "more than one answer"
    gold_quantity = quantities.read(gold)
    if gold_quantity and (commas_verdict := compare_other_commas(gold_quantity, answer, question)) is not None:
        return commas_verdict
    parts = [part for part in SEPARATOR.split(answer) if part]
    is_open = sum((char in "([") - (char in ")]") for char in parts[0]) if parts else 0
    if len(parts) < 2 or is_open > 0:
        return None
    values = [quantities.read(part if "=" not in part else part.rpartition("=")[2].strip()) for part in parts]
    if any(value is None for value in values):
        return None
    distinct_values = {
        (value.value * value.unit.size if value.unit.measure else value.value, value.percent)
        for value in values
        if value
    }
    if len(distinct_values) == 1 and not DENIAL.search(answer):
        return compare_values(gold, parts[0], question)
    return False, "more than one answer"


def compare_sentence(gold: str, answer: str, question: str | None, compare_values: Compare) -> Verdict:
    """Compare a sentence with a gold number."""
    if label := unasked_label(answer, question):
        return None, f"the number of a {label}"
    if OPEN.search(answer):
        return None, "not certain"
    number = _NUMBERS.search(answer)
    if number and not (
        DENIAL.search(answer) or _DOUBT.search(answer) or _BOUND.search(answer) or CALCULATION.search(answer)
    ):
        gold_quantity, answer_quantity = quantities.read(gold), quantities.read(answer[number.start() :])
        if gold_quantity is not None and answer_quantity is not None:
            return compare_quantities(gold_quantity, answer_quantity, question)
    numbers = [(number[0], quantities.read(number[0])) for number in _NUMBERS.finditer(answer[:2_000])]
    verdicts = [compare_values(gold, text, question)[0] for text, value in numbers if value is not None]
    if CALCULATION.search(answer) or len(verdicts) != len(numbers):
        return None, "different text"
    if not verdicts:
        return (False, "no number in it") if not re.search(r"[\\\d]", answer) else (None, "different text")
    if True not in verdicts:
        return (False, "another number") if None not in verdicts else (None, "different text")
    if DENIAL.search(answer):
        return (False, "it says what is not the answer") if len(verdicts) == 1 else (None, "several numbers")
    if _DOUBT.search(answer) or _BOUND.search(answer):
        return (False, "more than one answer") if len(verdicts) > 1 else (None, "not certain")
    return (True, "the only number") if all(verdicts) else (None, "several numbers")


def compare_approximations(gold: str, answer: str, question: str | None, compare_values: Compare) -> Verdict:
    """Compare answers with ≈: "22/7 ≈ 3.14" gives both 22/7 and 3.14.

    A gold answer with ≈ is rounded, so an answer that rounds to it is right.
    """
    is_rounded = gold.startswith(r"\approx") or r"\approx" in gold
    golds = [part.strip() for part in gold.split(r"\approx") if part.strip() and not is_name(part.strip())]
    answers = [part.strip() for part in answer.split(r"\approx") if part.strip() and not is_name(part.strip())]
    if not golds or not answers or len(golds) > 3 or len(answers) > 3:
        return None, "different text"
    values = [quantity.value for part in answers if (quantity := quantities.read(part)) is not None]
    if values and max(values) - min(values) > max(abs(value) for value in values) * MAX_APPROXIMATION:
        return False, "false equation"
    verdicts = [
        compare_values(gold_part, answer_part, "round" if is_rounded else question)
        for gold_part in golds
        for answer_part in answers
    ]
    return next((verdict for verdict in verdicts if verdict[0]), verdicts[0])
