r"""Compare an answer with the gold answer. Cheap and certain proofs come first.

1. *exact rational*: both are quantities (`quantities`): integers, decimals, fractions, mixed numbers, scientific
   notation, with thousands separators, money, percent and units.
   - A unit that only one of them has does not matter ("12" and "12 apples"). Units of one dimension are converted ("3
     hours" is "180 minutes"). Units of different dimensions are different. Counts of different things are undecided.
   - ``25%``, 25 and 0.25 all answer a gold ``25%``. ``25%`` answers a gold 25, because the question asked for percent.
     For a gold 0.25 it is undecided. ``500%`` for 5 is wrong.
   - A decimal equals a number only if both are exactly equal, with two exceptions. An endless decimal may be cut or
     rounded after `quantity_equality.ROUNDED_DIGITS` significant digits (0.333333 for 1/3). If the question asks to
     round, an answer that rounds to the gold answer is right.
2. *same text*, choices, yes/no, dates and times of day, "no solution" (`text_answers`, `choices`).
3. *expression*: both are parsed and compared by value (`expressions.same`): roots, tuples, sets, intervals, matrices,
   equations.
4. *math-verify*, if no other proof decides (`math_verify`).

Two answers ("5 or 6", "±5"), ranges, denials ("not 5") and false equations ("6=5") are never right. Two spellings of
one value ("1/2 or 0.5") are one answer.
"""

import re

from tracemill.verification.answers import quantities, units
from tracemill.verification.answers.algebra import (
    compare_by_math_verify,
    compare_sides,
    is_same_integral,
    without_quantifier,
)
from tracemill.verification.answers.choices import compare_boolean, compare_choice, letters, options, says
from tracemill.verification.answers.congruences import compare_congruences
from tracemill.verification.answers.equation_answers import is_name, right_side
from tracemill.verification.answers.expressions import same
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.answers.local_numbers import compare_local_numbers
from tracemill.verification.answers.lost_marks import has_cross_product
from tracemill.verification.answers.normalize import clean, plain
from tracemill.verification.answers.order import compare_in_order, items
from tracemill.verification.answers.quantity_equality import asks_rounded, compare_in_a_base, compare_quantities
from tracemill.verification.answers.question_hints import (
    asks_for_form,
    doubt_about_ratio,
    has_no_exchange,
    is_relative,
    names_a_variable,
    repeats_operator,
)
from tracemill.verification.answers.rows import as_list, compare_boards, compare_json, compare_rows, without_brackets
from tracemill.verification.answers.spelling import same_spelling, same_words
from tracemill.verification.answers.statements import (
    CALCULATION,
    DENIAL,
    SEPARATOR,
    compare_approximations,
    compare_sentence,
    compare_several,
)
from tracemill.verification.answers.text_answers import compare_calendar, compare_text, special
from tracemill.verification.answers.unusual_forms import (
    is_spoken,
    rewrite,
    rewrite_vectors,
    with_one_constant,
    without_names,
)

MAX_VALUE = 50_000  # characters

_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,50}(?:\.[0-9]{1,50})?$")
_WORD = re.compile(
    r"(?<![\\A-Za-z])(?!(?:sin|cos|tan|cot|sec|csc|sinh|cosh|tanh|arcsin|arccos|arctan|log|exp|mod|sqrt|min|max|"
    r"gcd|lcm|"
    r"det|deg|and|or)(?![A-Za-z]))[A-Za-z]{3,}"
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s?\{\w+\*?\}(?:\{[lcr|]{1,20}\})?|\\[A-Za-z]+")
_TRAILING_UNIT = re.compile(
    r"(?<=[\w})!°])\s((?:(?:sq|square|cubic)\.?\s)?[A-Za-z]{2,20}(?:[ /][A-Za-z]{1,20}){0,3}(?:\s?\^\s?\{?[23]\}?)?)$"
)
#: A gold answer such as 1,22 or 0,111; it is no list if the answer has a decimal point.
_DECIMAL_COMMA = re.compile(r"-?(?:0,\d{1,9}|\d{1,9},\d{1,2})$")
#: Single letters side by side are moves or cells: "R U R' U'".
_MOVES = re.compile(r"[A-Za-z]['2]?(?: [A-Za-z]['2]?){2,}$")
_SHORT_NAME = re.compile(r"[A-Za-z]{1,2}(?:_\{?\w\}?)?$")
_RATIO = re.compile(r"^(\d{1,9}) to (\d{1,9})$")
_OUT_OF = re.compile(r"^(\d{1,9}) (?:out of|in) (\d{1,9})$")

Verdict = tuple[bool | None, str]


def compare(gold: str, answer: str, kind: Kind = "number", question: str | None = None) -> Verdict:
    """Return (is `answer` right, the proof); (None, reason) if undecided.

    Only these parts of the question are read: its options, its unit, a wish for percent or for a rounded value.
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
    gold, answer = clean(gold), clean(answer)
    if (
        rows_verdict := compare_json(gold, answer) or compare_boards(gold, answer) or compare_rows(gold, answer)
    ) is not None:
        return rows_verdict
    if gold == answer:
        return True, "same text"
    if has_cross_product(gold) and has_cross_product(answer) and not same_spelling(plain(gold), plain(answer)):
        return None, "a product whose order matters"
    gold, answer = rewrite_vectors(without_brackets(gold, answer, question), answer)
    gold, spoken = (without_quantifier(plain(as_list(value))) for value in (gold, answer))
    gold, answer = rewrite(gold), rewrite(spoken)
    if not gold or not answer:
        return None, "nothing to compare"
    if kind != "choice" and gold != answer and _MOVES.match(gold) and _MOVES.match(answer):
        return None, "letters in another order"
    if (order_verdict := compare_in_order(gold, answer, question, _compare_values)) is not None:
        return order_verdict
    has_letters = letters(gold) and len(gold) <= 3 and gold != gold.lower() and letters(answer)
    if (kind == "choice" or has_letters or (letters(answer) and options(question))) and (
        choice := compare_choice(gold, answer, question, _compare_values)
    ) is not None:
        return choice
    if (kind == "boolean" or len(gold) <= 5) and says(gold) is not None and (boolean := compare_boolean(gold, answer)):
        return boolean
    correct, proof = _compare_values(gold, answer, question)
    if correct and proof in ("expression", "math-verify") and (doubt := doubt_about_ratio(gold, answer, question)):
        return None, doubt
    return (None, "a calculation in words") if correct is False and is_spoken(spoken) else (correct, proof)


def _compare_values(gold: str, answer: str, question: str | None) -> Verdict:
    if same_spelling(gold, answer):
        return True, "same text"
    if (gold_special := special(gold)) is not None:
        if (answer_special := special(answer)) is not None:
            return gold_special == answer_special, "same text"
        return (
            (False, "a value where there is none")
            if quantities.read(answer.rpartition("=")[2].strip()) and gold_special != "everything"
            else _compare_mathematics(gold, answer, question)
        )
    if (
        special(answer) is not None
        and (quantities.read(gold) or not _has_words(gold))
        and special(answer) != "everything"
    ):
        return False, "no value where there is one"
    if (calendar := compare_calendar(gold, answer)) is not None:
        return calendar
    if ":" in gold + answer:
        gold, answer = _RATIO.sub(r"\1:\2", gold), _RATIO.sub(r"\1:\2", answer)
    if r"\approx" in gold or r"\approx" in answer:
        return compare_approximations(gold, answer, question, _compare_values)
    answer = with_one_constant(gold, without_names(answer, gold))
    gold, answer = _as_points(gold, answer)
    answer, gold = _as_points(answer, gold)
    if "=" in answer and "=" not in gold and not _is_list_of_equations(answer):
        side = right_side(answer)
        if side is None:
            return False, "false equation"
        answer = side
    elif (
        "=" in gold
        and "=" not in answer
        and gold.count("=") == 1
        and (_is_named(gold.partition("=")[0].strip(), gold.partition("=")[2]) or same(*gold.split("=")))
    ):
        gold = gold.partition("=")[2].strip()
    return _compare_mathematics(gold, answer, question)


def _compare_mathematics(gold: str, answer: str, question: str | None) -> Verdict:
    if not gold or not answer:  # an equation without a right side
        return None, "nothing to compare"
    gold_quantity, answer_quantity = (
        None if names_a_variable(value, question) else quantities.read(value) for value in (gold, answer)
    )
    if (gold_quantity is None or gold_quantity.value.denominator > 1) and (ratio := _OUT_OF.match(answer)) is not None:
        return _compare_mathematics(gold, f"{ratio[1]}/{ratio[2]}", question)
    if (local := compare_local_numbers(gold, answer, question)) is not None:
        return local
    if "." in answer and answer_quantity is not None and _DECIMAL_COMMA.match(gold):
        gold_quantity = quantities.read(gold.replace(",", "."))
    if gold_quantity is not None and answer_quantity is not None:
        return compare_quantities(gold_quantity, answer_quantity, question)
    if "mod" in gold + answer and (congruence := compare_congruences(gold, answer)) is not None:
        return congruence
    if (base_verdict := compare_in_a_base(gold, answer, question)) is not None:
        return base_verdict
    if (
        gold_quantity is not None
        and (several_verdict := compare_several(gold, answer, question, _compare_values)) is not None
    ):
        return several_verdict
    if gold_quantity is not None and _has_words(answer):
        if is_relative(answer, question):
            return None, "a rank or a difference"
        if (unitless_verdict := _compare_without_units(gold, answer, question)) is not None:
            return unitless_verdict
        return compare_sentence(gold, answer, question, _compare_values)
    if not _has_words(gold) and not _has_words(answer):
        if (sides_verdict := compare_sides(gold, answer, _compare_values)) is not None:
            return sides_verdict
        if (verdict := same(gold, answer)) is not None:
            if verdict and has_no_exchange(gold, answer, question):
                return None, "a product whose order may matter"
            if verdict and asks_for_form(gold, answer, question):
                return None, "the value where a form is asked"
            if verdict and repeats_operator(gold, answer, question):
                return None, "an operation where its value is asked"
            if verdict is False and is_same_integral(gold, answer):
                return True, "the same but for the constant of integration"
            return verdict, "expression"
        if gold_quantity is not None and "." in gold_quantity.text and asks_rounded(question):
            return None, "perhaps the exact value of a rounded one"
        if "%" in answer and "%" not in gold:
            return None, "a percent where a number is asked"
        if (unitless_verdict := _compare_without_units(gold, answer, question)) is not None:
            return unitless_verdict
        return compare_by_math_verify(gold, answer)
    if (unitless_verdict := _compare_without_units(gold, answer, question)) is not None:
        return unitless_verdict
    if (
        answer_quantity is not None
        and _has_words(gold)
        and not re.search(r"\d|\\", gold)
        and not CALCULATION.search(gold)
        and not same_words(gold, answer)
    ):
        return False, "a number where words are asked"
    return compare_text(gold, answer, question)


def _compare_without_units(gold: str, answer: str, question: str | None) -> Verdict | None:
    r"""Compare without the units after an expression: ``2\sqrt{3}`` and "2√3 cm".

    None if neither has a unit.
    """
    (bare_gold, gold_unit), (bare_answer, answer_unit) = _split_unit(gold), _split_unit(answer)
    if (gold_unit is None and answer_unit is None) or _has_words(bare_gold) or _has_words(bare_answer):
        return None
    if gold_unit and answer_unit and (gold_unit.measure, gold_unit.size) != (answer_unit.measure, answer_unit.size):
        both_measured = gold_unit.measure and answer_unit.measure
        return (
            (False, "different units")
            if both_measured and gold_unit.measure != answer_unit.measure
            else (None, "units differ")
        )
    return _compare_mathematics(bare_gold, bare_answer, question)


def _split_unit(value: str) -> tuple[str, units.Unit | None]:
    if value[:1] in "$€£" and len(value) > 1:
        return value[1:].strip(), units.read(value[0])
    match = _TRAILING_UNIT.search(value[-100:])
    if match is None or DENIAL.search(match[1]):
        return value, None
    unit = units.read(match[1])
    body = value[: len(value) - len(match[0])].strip()
    return (body, unit) if unit and re.search(r"[\d\\]", body) else (value, None)


def _is_named(side: str, value: str) -> bool:
    """Is the left side of a gold equation a name? The letters e and i are names if they are no constants there."""
    return is_name(side, sums=False) or (side in ("e", "i") and same(side, value) is False)


def _is_list_of_equations(answer: str) -> bool:
    """Are there several equations ("x = 1, y = 2") and not one chain of equal sides?"""
    return any("=" in part for part in SEPARATOR.split(answer)[1:])


def _as_points(value: str, other: str) -> tuple[str, str]:
    """Rewrite "x = 5, y = 3" as the point (5,3), and `other` too if it is a point or a list of as many values."""
    if "=" not in value or "=" in other or other[:1] in ("{", "\\"):
        return value, other
    pairs = [part.partition("=") for part in SEPARATOR.split(value) if part]
    names = [name.strip() for name, _, _ in pairs]
    in_order = len(names) > 1 and names == sorted(set(names)) and all(map(_SHORT_NAME.match, names))
    values = items(other)
    if not in_order or (other[0] != "(" and len(values) != len(names)):
        return value, other
    point = f"({','.join(content.strip() for _, _, content in pairs)})"
    return point, other if other[0] == "(" else f"({','.join(values)})"


def _has_words(value: str) -> bool:
    """Does `value` contain words?

    A computer algebra system reads "listen" and "silent" as one product of letters.
    """
    return bool(_WORD.search(_ENVIRONMENT.sub(" ", value)))
