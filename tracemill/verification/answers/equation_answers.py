"""Equations as answers.

"x = 5" and "2 + 3 = 5" both answer 5. "6 = 5" is false: it answers nothing.
"""

import re
from itertools import pairwise

from tracemill.verification.answers.expressions import same

_NAME = re.compile(
    r"(?:\\[A-Za-z]{2,12}\s?)?[A-Za-z](?:[A-Za-z ]{0,40}|_\{?\w{1,5}\}?|'{1,2}|\s?\([A-Za-z, ]{1,9}\)|"
    r"_\{?\w{1,3}\}?\s?\([A-Za-z]\)){0,2}$"
    r"|\\(?:overline|angle|widehat|vec|hat|overrightarrow|triangle|mathbf|mathrm|bar)\s?\{?\s?[A-Za-z]{1,4}\}?$"
    r"|\\frac\s?\{[A-Z]{1,3}\}\{[A-Z]{1,3}\}$|[A-Z](?:_\{?\w{1,5}\}?)?\s?:\s?[A-Z](?:_\{?\w{1,5}\}?)?$"
    r"|\|[A-Za-z]{1,3}\||[A-Z]\([^()]{1,40}\)$|[fghpqy]'{0,2}\s?\(-?\d{1,9}\)$|\\frac\s?\{d[a-z]?\}\{d[a-z]\}$|\\?\[[A-Z]{2,5}\]$|"
    r"[a-zA-Z]\^\{?-1\}?\s?\([a-z]\)$"
)
_SUM_OF_NAMES = re.compile(r"[A-Za-z]{1,2}(?:\s?[-+]\s?[A-Za-z]{1,2}){1,5}$|[a-z]{2,3}$")
_NO_NAMES = frozenset(("e", "i", "log", "ln", "sin", "cos", "tan", "cot", "exp", "sqrt"))
_FORMULA = re.compile(r"\$([^$]{1,200})\$")
_VARIABLE = re.compile(r"(?<![A-Za-z\\])[a-z](?![A-Za-z(])")
_RELATION = re.compile(r"(?<![<>!:])=(?!=)")


def right_side(answer: str) -> str | None:
    """Return the value that the equation `answer` states.

    An equation that states no value is returned whole; a false one gives None. A side between the first and the last
    may be one that cannot be read.
    """
    sides = [side.strip() for side in _RELATION.split(answer)]
    if len(sides) > 6 or not all(sides):
        return answer
    values = [side for side in sides if not is_name(side)]
    if not values:
        return sides[-1]
    values = [side.replace("$", "") for side in values]
    verdicts = [same(left, right) for left, right in pairwise(values)]
    if any(verdict is False for verdict in verdicts):
        return answer if _has_letter(values) else None
    if (all(verdicts) or same(values[0], values[-1])) and (len(values) > 1 or len(sides) > 1):
        return sides[-1] if sides[-1].replace("$", "") == values[-1] else values[-1]
    return answer


def equation_in_variables(sentence: str) -> str | None:
    """Return the last formula of a sentence if it is an equation of variables, such as $x^2 + y^2 = 9$; else None."""
    formulas = _FORMULA.findall(sentence)
    if not formulas or formulas[-1].count("=") != 1:
        return None
    formula = str(formulas[-1])
    left = formula.partition("=")[0].strip()
    is_equation = len(set(_VARIABLE.findall(left))) > 1 and not is_name(left) and same(*formula.split("=")) is not True
    return formula if is_equation else None


def is_name(side: str, sums: bool = True) -> bool:
    """Is `side` only a name for the other side: x, f(x), AB, the area?

    With `sums`, a sum of names (a + b) is a name too.
    """
    if side in _NO_NAMES or side.partition(" ")[0] in _NO_NAMES:
        return False
    return bool(_NAME.match(side) or (sums and _SUM_OF_NAMES.match(side)))


def _has_letter(values: list[str]) -> bool:
    return any(re.search(r"(?<!\\)(?<![\\A-Za-z])[A-Za-z](?![A-Za-z])", value) for value in values)
