"""Compare two answers as mathematics: by our own parser first, then by math-verify."""

import re

from tracemill.verification.answers import math_verify
from tracemill.verification.answers.expressions import same
from tracemill.verification.answers.statements import DENIAL

_INEQUALITY = re.compile(r"[<>]|\\[lg]e?(?![a-z])")

Verdict = tuple[bool | None, str]


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
    if DENIAL.search(answer) or ("dots" in answer and "dots" not in gold):
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
