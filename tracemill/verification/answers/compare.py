r"""Does the answer equal the gold answer? The cheap and certain proofs come first.

1. *exact rational*: both are quantities (`quantities`): integers, decimals, fractions, mixed numbers, scientific
   notation, with thousands separators, money, percent and units.
   - A unit that only one of them names does not matter ("12" and "12 apples"). Two units of one dimension are converted
     ("3 hours" is "180 minutes"), of two dimensions they differ, and different things counted are undecided.
   - ``25%``, 25 and 0.25 all answer a gold ``25%``. ``25%`` answers a gold 25 (the question asked for percent), never a
     gold 0.25: that is undecided, and ``500%`` for 5 is wrong.
   - A decimal equals a number only if it is that number. Two exceptions: at least `quantity_equality.ROUNDED_DIGITS` significant
     digits of an endless decimal (0.333333 for 1/3); and if the question asks to round, what rounds to the gold.
2. *same text*, choices, yes/no, dates and times of day, "no solution" (`text_answers`, `choices`).
3. *expression*: both read and compared by value (`expressions.same`): roots, tuples, sets, intervals, matrices,
   equations.
4. *math-verify*, where none of these can decide (`algebra`).

Two answers ("5 or 6", "±5"), ranges, denials ("not 5") and false equations ("6=5") are never right. What is said twice
("1/2 or 0.5") is one answer.
"""

import re
from fractions import Fraction

from tracemill.verification.answers import math_verify, quantities, units
from tracemill.verification.answers.choices import compare_boolean, compare_choice, letters, says
from tracemill.verification.answers.equation_answers import is_name, right_side
from tracemill.verification.answers.expressions import same
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.answers.normalize import clean, plain
from tracemill.verification.answers.quantity_equality import compare_in_a_base, compare_quantities
from tracemill.verification.answers.text_answers import compare_calendar, compare_text, special

MAX_VALUE = 50_000  # characters
NEAR = Fraction(1, 20)  # what ≈ may mean, relatively

_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,50}(?:\.[0-9]{1,50})?$")
_SEPARATOR = re.compile(
    r"\s?(?:[;,]\s?(?:and|or)\s|\b(?:or|and|i\.e\.)\s|\\(?:lor|land|vee|wedge)(?![a-z])|;|,(?!\d{3}(?!\d))|,\s)\s?"
)
_NOT = re.compile(
    r"\b(?:not|never|no longer|neither|nor|cannot|except)\b|n't\b|\\ne(?:q|g)?(?![a-z])|\\not(?![a-z])|!=|≠"
)
_BOUND = re.compile(
    r"\b(?:at least|at most|(?:more|less|fewer|greater|larger|smaller) than|up to|between|over|under|above|below|"
    r"minimum|"
    r"maximum)\b|(?<!=)[<>](?!=)|\\[lg]e?(?![a-z])|\d\s?(?:to|through)\s?\d|\\pm|\+/-",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"\b(?:or|maybe|perhaps|possibly|might|could|may|either|unsure|not sure|guess|unclear|but|doubt|wrong|"
    r"incorrect|false|"
    r"one of)\b",
    re.IGNORECASE,
)
_CALCULATION = re.compile(
    r"\b(?:half|halves|third|thirds|quarters?|twice|double|triple|plus|minus|times|squared|cubed|root|sum|"
    r"product|power|"
    r"factorial|divided|multiplied|unity|none|nothing|nobody|no one|both|pair|first|second|fourth|fifth|sixth|seventh|"
    r"eighth|ninth|tenth|dozen|hundred|thousand|million|billion|choose|percent|negative|pi|infinity|infinite|"
    r"(?:over|(?:less|more|fewer) than)\s(?=\d))\b|\w\(",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"(?<![\w.])[-$]{0,2}(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?%?(?!\w*[\^_])")
_PROSE = re.compile(
    r"(?<![\\A-Za-z])(?!(?:sin|cos|tan|cot|sec|csc|sinh|cosh|tanh|arcsin|arccos|arctan|log|exp|mod|sqrt|min|max|"
    r"gcd|lcm|"
    r"det|deg|and|or)\b)[A-Za-z]{3,}"
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s?\{\w+\*?\}(?:\{[lcr|]{1,20}\})?|\\[A-Za-z]+")
_TRAILING_UNIT = re.compile(
    r"(?<=[\w})!°])\s((?:(?:sq|square|cubic)\.?\s)?[A-Za-z]{2,20}(?:[ /][A-Za-z]{1,20}){0,3}(?:\s?\^\s?\{?[23]\}?)?)$"
)
_RATIO = re.compile(r"^(\d{1,9}) to (\d{1,9})$")
_INEQUALITY = re.compile(r"[<>]|\\[lg]e?(?![a-z])")

Verdict = tuple[bool | None, str]


def compare(gold: str, answer: str, kind: Kind = "number", question: str | None = None) -> Verdict:
    """(is `answer` right, the proof); (None, reason) when that cannot be decided.

    The question is only read for its options, the unit it asks for, and whether it asks for percent or to round.
    """
    if kind == "code":
        return None, "code runs in the sandbox"
    if _PLAIN_NUMBER.match(gold) and _PLAIN_NUMBER.match(answer):
        if gold == answer:
            return True, "exact rational"
        if question is None and gold.isdigit() and answer.isdigit() and gold[0] != "0" != answer[0]:
            return False, "exact rational"
    if len(gold) > MAX_VALUE or len(answer) > MAX_VALUE:
        return None, f"refused: too costly (longer than {MAX_VALUE} characters)"
    gold, answer = plain(clean(gold)), plain(clean(answer))
    if not gold or not answer:
        return None, "nothing to compare"
    picks = kind == "choice" or (letters(gold) and len(gold) <= 3 and gold != gold.lower() and letters(answer))
    if picks and (choice := compare_choice(gold, answer, question)) is not None:
        return choice
    if (kind == "boolean" or len(gold) <= 5) and says(gold) is not None and (said := compare_boolean(gold, answer)):
        return said
    return _value(gold, answer, question)


def _value(gold: str, answer: str, question: str | None) -> Verdict:
    if _squeezed(gold) == _squeezed(answer):
        return True, "same text"
    if (known := special(gold)) is not None:
        if (given := special(answer)) is not None:
            return known == given, "same text"
        return (
            (False, "a value where there is none")
            if quantities.read(answer.rpartition("=")[2].strip()) and known != "everything"
            else _rest(gold, answer, question)
        )
    if special(answer) is not None and (quantities.read(gold) or not _words(gold)) and special(answer) != "everything":
        return False, "no value where there is one"
    if (calendar := compare_calendar(gold, answer)) is not None:
        return calendar
    if ":" in gold + answer:
        gold, answer = _RATIO.sub(r"\1:\2", gold), _RATIO.sub(r"\1:\2", answer)
    if r"\approx" in gold or r"\approx" in answer:
        return _approximate(gold, answer, question)
    gold, answer = _coordinates(gold, answer), _coordinates(answer, gold)
    if "=" in answer and "=" not in gold and not _assignments(answer):
        reduced = right_side(answer)
        if reduced is None:
            return False, "false equation"
        answer = reduced
    elif (
        "=" in gold
        and "=" not in answer
        and is_name(gold.partition("=")[0].strip(), sums=False)
        and gold.count("=") == 1
    ):
        gold = gold.partition("=")[2].strip()
    return _rest(gold, answer, question)


def _rest(gold: str, answer: str, question: str | None) -> Verdict:
    wanted, given = quantities.read(gold), quantities.read(answer)
    if wanted is not None and given is not None:
        return compare_quantities(wanted, given, question)
    if (based := compare_in_a_base(gold, answer, question)) is not None:
        return based
    if wanted is not None and (several := _several(gold, answer, question)) is not None:
        return several
    if wanted is not None and _words(answer):
        return _prose(gold, answer, question)
    if not _words(gold) and not _words(answer):
        if (verdict := same(gold, answer)) is not None:
            return verdict, "expression"
        if "%" in answer and "%" not in gold:
            return None, "a percent where a number is asked"
        if (without := _unitless(gold, answer, question)) is not None:
            return without
        return _algebra(gold, answer)
    if (without := _unitless(gold, answer, question)) is not None:
        return without
    if given is not None and _words(gold) and not re.search(r"\d|\\", gold) and not _CALCULATION.search(gold):
        return False, "a number where words are asked"
    return compare_text(gold, answer, question)


def _algebra(gold: str, answer: str) -> Verdict:
    """math-verify takes the right side of any equation, a set for a point, and reads what it can of a denial."""
    if "=" in answer and "=" not in gold:
        names = set(re.findall(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])", answer)) - {"e"}
        held = answer.count("=") > 5 or any(same(gold, side) is not False for side in answer.split("="))
        return (None, "an equation where a value is asked") if held or len(names) == 1 else (False, "an equation")
    if any(one[0] == "(" and other.startswith((r"\{", "{")) for one, other in ((gold, answer), (answer, gold))):
        return False, "a set is no point"
    if _NOT.search(answer) or ("dots" in answer and "dots" not in gold):
        return None, "different text"
    verdict = math_verify.equal(gold, answer)
    if verdict[0] is True and gold[0] in "([" and answer[0] in "([" and (gold[0], gold[-1]) != (answer[0], answer[-1]):
        return None, "other brackets"
    if (
        verdict[0] is False
        and "|" in gold + answer
        and bool(_INEQUALITY.search(gold)) != bool(_INEQUALITY.search(answer))
    ):
        return None, "an inequality against a value"
    return verdict


def _several(gold: str, answer: str, question: str | None) -> Verdict | None:
    """One value is asked: an answer of several is right only if they are the same value, said twice."""
    if r"\pm" in answer or "+/-" in answer:
        return False, "more than one answer"
    parts = [part for part in _SEPARATOR.split(answer) if part]
    is_open = sum((char in "([") - (char in ")]") for char in parts[0]) if parts else 0
    if len(parts) < 2 or is_open > 0:
        return None
    values = [quantities.read(part if "=" not in part else part.rpartition("=")[2].strip()) for part in parts]
    if any(value is None for value in values):
        return None
    if re.fullmatch(r"-?\d+,\d{1,2}", answer) and quantities.read(answer.replace(",", ".")) == quantities.read(gold):
        return None, "a decimal comma, or more than one answer"
    found = {
        (value.value * value.unit.size if value.unit.measure else value.value, value.percent)
        for value in values
        if value
    }
    if len(found) == 1 and not _NOT.search(answer):
        return _value(gold, parts[0], question)
    return False, "more than one answer"


def _prose(gold: str, answer: str, question: str | None) -> Verdict:
    """A sentence where a number is asked."""
    if (without := _unitless(gold, answer, question)) is not None:
        return without
    number = _NUMBERS.search(answer)
    if number and not (
        _NOT.search(answer) or _DOUBT.search(answer) or _BOUND.search(answer) or _CALCULATION.search(answer)
    ):
        wanted, given = quantities.read(gold), quantities.read(answer[number.start() :])
        if wanted is not None and given is not None:
            return compare_quantities(wanted, given, question)
    found = [(number[0], quantities.read(number[0])) for number in _NUMBERS.finditer(answer[:2_000])]
    verdicts = [_value(gold, text, question)[0] for text, value in found if value is not None]
    if _CALCULATION.search(answer) or len(verdicts) != len(found):
        return None, "different text"
    if not verdicts:
        return (False, "no number in it") if not re.search(r"[\\\d]", answer) else (None, "different text")
    if True not in verdicts:
        return (False, "another number") if None not in verdicts else (None, "different text")
    if _NOT.search(answer):
        return (False, "it says what is not the answer") if len(verdicts) == 1 else (None, "several numbers")
    if _DOUBT.search(answer) or _BOUND.search(answer):
        return (False, "more than one answer") if len(verdicts) > 1 else (None, "not certain")
    return (True, "the only number") if all(verdicts) else (None, "several numbers")


def _unitless(gold: str, answer: str, question: str | None) -> Verdict | None:
    r"""Without the units that follow an expression: ``2\sqrt{3}`` and "2√3 cm"."""
    (bare_gold, gold_unit), (bare_answer, answer_unit) = _split_unit(gold), _split_unit(answer)
    if (gold_unit is None and answer_unit is None) or _words(bare_gold) or _words(bare_answer):
        return None
    if gold_unit and answer_unit and (gold_unit.measure, gold_unit.size) != (answer_unit.measure, answer_unit.size):
        both = gold_unit.measure and answer_unit.measure
        return (
            (False, "different units") if both and gold_unit.measure != answer_unit.measure else (None, "units differ")
        )
    return _rest(bare_gold, bare_answer, question)


def _split_unit(value: str) -> tuple[str, units.Unit | None]:
    if value[:1] in "$€£" and len(value) > 1:
        return value[1:].strip(), units.read(value[0])
    match = _TRAILING_UNIT.search(value[-100:])
    if match is None or _NOT.search(match[1]):
        return value, None
    unit = units.read(match[1])
    body = value[: len(value) - len(match[0])].strip()
    return (body, unit) if unit and re.search(r"[\d\\]", body) else (value, None)


def _approximate(gold: str, answer: str, question: str | None) -> Verdict:
    """ "22/7 ≈ 3.14" says 22/7, and 3.14 as well. A gold that says it is rounded takes what rounds to it."""
    rounded = gold.startswith(r"\approx") or r"\approx" in gold
    golds = [part.strip() for part in gold.split(r"\approx") if part.strip() and not is_name(part.strip())]
    answers = [part.strip() for part in answer.split(r"\approx") if part.strip() and not is_name(part.strip())]
    if not golds or not answers or len(golds) > 3 or len(answers) > 3:
        return None, "different text"
    values = [quantity.value for part in answers if (quantity := quantities.read(part)) is not None]
    if values and max(values) - min(values) > max(abs(value) for value in values) * NEAR:
        return False, "false equation"
    verdicts = [_value(one, other, "round" if rounded else question) for one in golds for other in answers]
    return next((verdict for verdict in verdicts if verdict[0]), verdicts[0])


def _assignments(answer: str) -> bool:
    """ "x = 1, y = 2" is no chain of equal sides."""
    return any("=" in part for part in _SEPARATOR.split(answer)[1:])


def _coordinates(value: str, other: str) -> str:
    """ "x = 5, y = 3" as the point (5,3), where the other is a point."""
    if "=" not in value or "=" in other or other[0] != "(":
        return value
    pairs = [part.partition("=") for part in _SEPARATOR.split(value) if part]
    names = [name.strip() for name, _, _ in pairs]
    in_order = len(names) > 1 and names == sorted(set(names)) and all(len(name) == 1 for name in names)
    return f"({','.join(content.strip() for _, _, content in pairs)})" if in_order else value


def _squeezed(value: str) -> str:
    return re.sub(r"\s+(?!\d)|(?<!\d)\s+|\$", "", value).casefold().removesuffix(".")


def _words(value: str) -> bool:
    """Is it prose? To an algebra system "listen" and "silent" are the same product of letters."""
    return bool(_PROSE.search(_ENVIRONMENT.sub(" ", value)))
