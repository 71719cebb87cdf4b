"""Compare two answers as mathematics: by our own parser first, then by math-verify."""

import re

from tracemill.verification.answers import math_verify
from tracemill.verification.answers.equation_answers import is_name
from tracemill.verification.answers.expressions import differ_by_constant, same
from tracemill.verification.answers.lost_marks import may_confirm, may_reject
from tracemill.verification.answers.statements import DENIAL, Compare, Verdict

_INEQUALITY = re.compile(r"[<>]|\\[lg]e?(?![a-z])")
_WITH_CONSTANT = re.compile(r"(.{1,300}?)\s?\+\s?(?:C|c|\\text\{C\})$", re.DOTALL)
_QUANTIFIER = re.compile(
    r"(?<=[\w)}])\s?,\s?\(?[a-z]\s?\\in\s?\\mathbb\s?\{?Z\}?\)?$"
    r"|(?<=[\w)}])\s?,?\s(?:where|for (?:all|any|every|each|some))(?:\s(?:real|positive|integers?|constants?|numbers?"
    r"|natural|complex))*\s[a-z](?:\s?\\in\s?\\mathbb\s?\{?[A-Z]\}?|\sis an? (?:\w+ )?(?:constant|integer|number))?$"
)
_NAME = re.compile(r"\\[A-Za-z]+|[A-Za-z](?:_\{?\d\}?)?")
_CONSTANT = re.compile(r"[A-DKcknm]")
_APPLIED_TO_NUMBER = re.compile(r"[A-Za-z]'{0,3}\s?\(\s?-?[\d.]{1,10}\s?\)\s?$")


def compare_by_math_verify(gold: str, answer: str) -> Verdict:
    """Compare by math-verify, where it can be trusted.

    It reduces any equation to its right side, takes a set for a point, and ignores words such as "not".
    """
    if "=" in answer and "=" not in gold:
        names = set(re.findall(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])", answer)) - {"e"}
        may_be_right = answer.count("=") > 5 or any(same(gold, side) is not False for side in answer.split("="))
        return (
            (None, "an equation where a value is asked") if may_be_right or len(names) == 1 else (False, "an equation")
        )
    if any(first[0] == "(" and second.startswith((r"\{", "{")) for first, second in ((gold, answer), (answer, gold))):
        return False, "a set is no point"
    if any(r"\begin" in first and second[0] in "([" for first, second in ((gold, answer), (answer, gold))):
        return None, "a matrix against a point"
    if DENIAL.search(answer) or ("dots" in answer and "dots" not in gold):
        return None, "different text"
    if _differ_in_constants(gold, answer):
        return True, "the same but for the names of constants"
    verdict = math_verify.equal(gold, answer)
    if verdict[0] is True and not may_confirm(gold, answer):
        return None, "math-verify drops marks that matter"
    if verdict[0] is True and gold[0] in "([" and answer[0] in "([" and (gold[0], gold[-1]) != (answer[0], answer[-1]):
        return None, "other brackets"
    if verdict[0] is False and gold[0] == "[" and "," in answer and answer[0] not in "[(":
        return None, "a list or an interval"
    if verdict[0] is False and not may_reject(gold, answer):
        return None, "math-verify cannot read it"
    if (
        verdict[0] is False
        and "|" in gold + answer
        and bool(_INEQUALITY.search(gold)) != bool(_INEQUALITY.search(answer))
    ):
        return None, "an inequality against a value"
    return verdict


def without_quantifier(value: str) -> str:
    """Return a formula without the words "for all real x" or "where c is a constant" after it."""
    return _QUANTIFIER.sub("", value) if "for " in value or "where " in value or "mathbb" in value else value


def _differ_in_constants(gold: str, answer: str) -> bool:
    """Are both the same, but for the names of arbitrary constants?

    They are those of a differential equation (C, C_1), or the integers of a family such as x = π/4 + kπ.
    """
    gold_names, answer_names = (
        list(dict.fromkeys(name for name in _NAME.findall(value) if name[0] != "\\")) for value in (gold, answer)
    )
    missing = [name for name in gold_names if name not in answer_names]
    added = [name for name in answer_names if name not in gold_names]
    has_pi = r"\pi" in gold
    if (
        not missing
        or len(missing) != len(added)
        or (len(missing) == len(gold_names) and not has_pi)
        or not all(map(_CONSTANT.match, added))
    ):
        return False
    if not all(name[0] in "Cc" or ((has_pi or gold[0] == "x") and name in ("k", "n", "m")) for name in missing):
        return False
    constants = dict(zip(added, missing, strict=True))
    return same(gold, _NAME.sub(lambda match: constants.get(match[0], match[0]), answer)) is True


def is_same_integral(gold: str, answer: str) -> bool:
    """Do two functions with a constant of integration, such as x² + C, differ only by a constant?"""
    gold_match, answer_match = _WITH_CONSTANT.match(gold), _WITH_CONSTANT.match(answer)
    return bool(gold_match and answer_match and differ_by_constant(gold_match[1], answer_match[1]))


def compare_sides(gold: str, answer: str, compare_values: Compare) -> Verdict | None:
    """Compare two equations with the same left side, such as f(0) = 2 and f(0) = 3, by their right sides.

    Different right sides make them different only if the left side is a name, or if it holds no variable.
    """
    if gold.count("=") != 1 or answer.count("=") != 1:
        return None
    (gold_left, _, gold_right), (answer_left, _, answer_right) = gold.partition("="), answer.partition("=")
    if re.sub(r"\s", "", gold_left) != re.sub(r"\s", "", answer_left) or gold_left.rstrip()[-1:] in "<>!:":
        return None
    if _differ_in_constants(gold, answer):
        return True, "the same but for the names of constants"
    correct, proof = compare_values(gold_right.strip(), answer_right.strip(), None)
    names = set(re.findall(r"[A-Za-z]", gold_left))
    is_defined = not names & set(re.findall(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])", gold_right + answer_right))
    is_value = _APPLIED_TO_NUMBER.match(gold_left) or is_name(gold_left.strip()) or gold_left.strip() in ("e", "i")
    if correct is True or (correct is False and is_value and is_defined):
        return correct, proof
    return None
