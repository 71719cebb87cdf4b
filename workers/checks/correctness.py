r"""Does the answer equal the gold answer? Three proofs, the cheap and certain ones first.

1. *exact rational*: both are integers, decimals, fractions or mixed numbers, with or without money signs, thousands
   separators and units. A unit that only one of them names does not matter ("12" and "12 apples"); two different units
   cannot be decided. ``25%`` equals a gold 25 (the question asked for percent), never a gold 0.25.
2. *same text*: equal after tidying; also choices ("B" and "(B) Paris") and yes/no, true/false.
3. *math-verify* (https://github.com/huggingface/Math-Verify), a computer algebra comparison, behind a filter that
   refuses what is known to cost it seconds or gigabytes. It is not symmetric: gold goes first.

Two answers ("5 or 6", "±5") and false equations ("6=5") are never right. Its text is hostile: it is only ever given to
math-verify's LaTeX grammar, not to its Python expression reader, and only in a killable child.
"""

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from workers.checks.answers import tidy
from workers.checks.arithmetic import evaluate, tokenize

MAX_LENGTH = 400  # characters of an answer given to math-verify; the longest real gold answers have about 150
MAX_NESTING = 10
MAX_OPERATORS = 60
MAX_EXACT = 1_000  # digits of a number compared exactly

_COSTLY = (
    (re.compile(r"\d{40}"), "a huge number"),
    (re.compile(r"\^\s*\{?[^{}\s]{0,40}[\^!]|\^\s*\{[^{}]{0,40}\{?[^{}]{0,40}\^"), "a power tower"),
    (re.compile(r"\^[\s{(+-]{0,6}[\d.]{4}|\^[^\w]{0,6}\\frac\{\d{4}"), "a huge exponent"),
    (re.compile(r"[)}]\s*\^[\s{(+-]{0,6}\d{2}"), "a huge power of an expression"),
    (re.compile(r"\d{3}\s*!|!\s*!|!\s*[)}]|[)}]\s*!"), "a factorial"),
    (
        re.compile(r"\\(?:sum|prod|i*nt|oint|lim|binom|dbinom|tbinom|Gamma|zeta)(?![a-z])|∑|∏|∫"),
        "a sum, integral or binomial",
    ),
    (
        re.compile(r"factorial|gamma|eye|zeros|ones|range|import|lambda|eval|exec|open|__", re.IGNORECASE),
        "a function call",
    ),
)
_SYMBOLS = {
    "π": r"\pi ", "∞": r"\infty ", "·": r"\cdot ", "×": r"\times ", "÷": "/", "∪": r"\cup ", "∩": r"\cap ",
    "≤": r"\le ", "≥": r"\ge ", "∈": r"\in ", "²": "^2", "³": "^3", "−": "-", "–": "-", "‑": "-", "°": r"^\circ",
    "½": "1/2", "¼": "1/4", "¾": "3/4", "\u00a0": " ", "\u202f": " ", "\u2009": " ",
}  # fmt: skip
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_QUANTITY = re.compile(
    rf"(?P<sign>[-+]?)\s?(?P<money>[$€£¥]?)\s?(?P<sign2>-?)"
    rf"(?:(?P<whole>\d{{1,9}})[ ]?(?:\\frac\{{(?P<wn>\d+)\}}\{{(?P<wd>\d+)\}}|[ ](?P<pn>\d+)/(?P<pd>\d+))"
    rf"|\\frac\{{(?P<fsign>-?)(?P<fn>{_NUMBER})\}}\{{(?P<fd>{_NUMBER})\}}"
    rf"|(?P<number>{_NUMBER})(?:\s?/\s?(?P<over>{_NUMBER}))?)"
    r"(?P<percent>\s?(?:%|percent\b))?(?P<unit>.*)$",
    re.DOTALL,
)
_UNIT = re.compile(
    r"[ ]?[A-Za-z]{1,20}(?:[ /-][A-Za-z]{1,20}|[ ]per[ ][A-Za-z]{1,20}){0,4}(?:\^\{?[23]\}?)?$"
    r"|\^\{?\\circ\}?(?: ?[CF])?$"
)
# 2x and 3i are no quantities; 5 m and 5 g are.
_VARIABLE = re.compile(r"(?:[A-Za-z]|pi|sqrt)(?![A-Za-z])| (?:[^mgshlLVWNJKCFA\W]|pi|sqrt)(?![A-Za-z])")
_TWO = re.compile(r"\b(?:or|and)\b|\\text\{\s*(?:or|and)\s*\}|\\pm(?![a-z])|±|\\lor|;", re.IGNORECASE)
_NAME = re.compile(r"\\?[A-Za-z](?:[A-Za-z]{0,20}|_\{?\w{1,5}\}?|\([A-Za-z, ]{1,9}\)|'){0,2}\s*$")
_IN_SET = re.compile(r"^[A-Za-z]\s*\\in(?:\s|(?=[\[({\\]))")
_CHOICE = re.compile(r"(?:(?:option|choice)\s+)?\(?([A-J])\)?(?:[).:]\s.*|[).:])?$", re.DOTALL | re.IGNORECASE)
_BOOLEANS = {"yes": True, "true": True, "no": False, "false": False}


class _Quantity(NamedTuple):
    value: Fraction
    percent: bool
    unit: str


def compare(gold: str, answer: str) -> tuple[bool | None, str]:
    """(is `answer` right, the proof); (None, reason) when that cannot be decided."""
    if len(gold) > 50_000 or len(answer) > 50_000:
        return None, "refused: too costly (longer than 50000 characters)"
    gold, answer = _plain(gold), _plain(answer)
    if not gold or not answer:
        return None, "nothing to compare"
    if "=" in answer and "=" not in gold:
        reduced = _right_side(answer)
        if reduced is None:
            return False, "false equation"
        answer = reduced
    elif "=" in gold and "=" not in answer and _NAME.match(gold.partition("=")[0]):
        gold = gold.rpartition("=")[2].strip()
    if (exact := _exact(gold, answer)) is not None:
        return exact
    if (text := _text(gold, answer)) is not None:
        return text
    if "%" in answer and "%" not in gold:
        return None, "a percent where a number is asked"
    if why := too_costly(answer):
        return None, f"refused: too costly ({why})"
    return _algebra(gold, answer)


def too_costly(answer: str) -> str | None:
    """Why `answer` must not reach the computer algebra; None if it may."""
    if len(answer) > MAX_LENGTH:
        return f"{len(answer)} characters"
    depth = deepest = 0
    for char in answer:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_NESTING:
        return f"brackets nested {deepest} deep"
    if sum(answer.count(char) for char in "+-*/^_&,") > MAX_OPERATORS:
        return "too many operators"
    return next((why for pattern, why in _COSTLY if pattern.search(answer)), None)


def _plain(value: str) -> str:
    """One spelling for what is written in many: digits, minus signs, fractions, thousands, text boxes."""
    value = tidy(value.replace("\x00", "").encode("utf-8", "replace").decode())
    if not value.isascii():
        value = "".join(
            _SYMBOLS.get(char) or (str(unicodedata.decimal(char)) if unicodedata.category(char) == "Nd" else char)
            for char in value
        )
        value = re.sub(r"√\s?(\d{1,20}|[a-z])", r"\\sqrt{\1}", value)
        value = re.sub(r"√\s?\(([^()]{1,50})\)", r"\\sqrt{\1}", value)
    if "\\" in value:
        value = value.replace(r"\$", "$").replace(r"\%", "%").replace("{,}", ",").replace(r"\!", "").replace(r"\,", " ")
        value = re.sub(r"\\[dtc]frac(?![a-z])", r"\\frac", value)
        value = re.sub(r"\\frac\s?(\d)\s?(\d)(?!\d)", r"\\frac{\1}{\2}", value)
        value = re.sub(r"\\sqrt(\[\d{1,3}\])?\s?([\da-z])", r"\\sqrt\1{\2}", value)
        value = re.sub(r"\\(?:text|mathrm|textbf|mbox|textrm)\s?\{([^{}]{0,200})\}", r" \1", value)
        value = value.replace(r"\left", "").replace(r"\right", "") if r"\leftarrow" not in value else value
    value = re.sub(r"(?<![A-Za-z\\])sqrt\(([^()]{1,50})\)", r"\\sqrt{\1}", value)
    value = re.sub(r"(?<![A-Za-z\\])(pi)(?![A-Za-z])", r"\\pi", value).replace("**", "^")
    return re.sub(r"\s+", " ", tidy(value)).strip()


def _right_side(answer: str) -> str | None:
    """What an equation given as an answer says the answer is; None if the equation is false."""
    left, _, right = answer.rpartition("=")
    right = right.strip()
    sides = [evaluate(tokenize(side)) for side in answer.split("=")]
    values = {side for side in sides if side is not None}
    if len(values) > 1:
        return None
    name = left.split("=")[0].strip()
    is_name = _NAME.match(name) or (name and not re.search(r"[\d+*/^<>\\]", name))
    return right if (len(values) == 1 and None not in sides) or is_name else answer


def _quantity(value: str) -> _Quantity | None:
    match = _QUANTITY.match(value) if len(value) <= MAX_EXACT else None
    if match is None:
        return None
    unit = match["unit"].strip()
    if unit and (not _UNIT.match(unit) or _TWO.search(unit) or _VARIABLE.match(match["unit"])):
        return None
    numbers = {name: Fraction(text.replace(",", "").rstrip(".")) for name, text in match.groupdict().items()
               if text and name in ("whole", "wn", "wd", "pn", "pd", "fn", "fd", "number", "over")}  # fmt: skip
    if any(numbers.get(name) == 0 for name in ("wd", "pd", "fd", "over")):
        return None
    if "whole" in numbers:
        result = numbers["whole"] + (
            numbers["wn"] / numbers["wd"] if "wn" in numbers else numbers["pn"] / numbers["pd"]
        )
    elif "fn" in numbers:
        result = numbers["fn"] / numbers["fd"]
    else:
        result = numbers["number"] / numbers.get("over", Fraction(1))
    minus = (match["sign"] == "-") + (match["sign2"] == "-") + (match["fsign"] == "-")
    return _Quantity(-result if minus % 2 else result, bool(match["percent"]), _unit_name(match["money"] or unit))


def _unit_name(unit: str) -> str:
    unit = re.sub(r"[{}\s]", "", unit.lower())
    return {"dollars": "$", "dollar": "$", "usd": "$", "degrees": "^\\circ", "degree": "^\\circ"}.get(
        unit, unit.rstrip("s")
    )


def _exact(gold: str, answer: str) -> tuple[bool | None, str] | None:
    wanted, given = _quantity(gold), _quantity(answer)
    if wanted is None or given is None:
        return None
    units_differ = bool(wanted.unit and given.unit and wanted.unit != given.unit)
    if wanted.value == given.value:
        return (None, "units differ") if units_differ else (True, "exact rational")
    if wanted.percent and not given.percent and wanted.value / 100 == given.value:
        return True, "exact rational"
    if units_differ:
        return None, "units differ"
    if _endless(wanted.value) and not given.percent and not wanted.percent and not wanted.unit and not given.unit:
        return None  # 0.333333 for 1/3: a matter of rounding
    return False, "exact rational"


def _endless(value: Fraction) -> bool:
    """Has the value no finite decimal form?"""
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator != 1


def _text(gold: str, answer: str) -> tuple[bool | None, str] | None:
    wanted, given = _squeezed(gold), _squeezed(answer)
    if wanted == given:
        return True, "same text"
    asked = _CHOICE.match(gold) if len(gold) <= 3 and gold != gold.lower() else None
    if asked and (chosen := _CHOICE.match(answer)):
        return chosen[1].upper() == asked[1].upper(), "choice"
    if wanted in _BOOLEANS:
        first = re.match(r"[a-z]{1,9}", answer.lower())
        said = _BOOLEANS.get(first[0]) if first else None
        return (None, "neither yes nor no") if said is None else (said == _BOOLEANS[wanted], "yes or no")
    if _TWO.search(answer) and not _TWO.search(gold) and "," not in gold and not _words(gold):
        return False, "more than one answer"
    if _words(gold) and (_words(answer) or _quantity(answer)):
        return None, "different text"
    return (None, "different text") if _words(answer) else None


def _squeezed(value: str) -> str:
    return re.sub(r"[\s$]+", "", value).casefold().removesuffix(".")


def _words(value: str) -> bool:
    """Is it prose? To an algebra system "listen" and "silent" are the same product of letters."""
    prose = re.sub(r"\\(?:begin|end)\{\w+\}|\\[A-Za-z]+", " ", value)
    return bool(re.search(r"(?<![A-Za-z])(?!(?:sin|cos|tan|log|exp|mod|sec|csc|cot|sqrt)\b)[A-Za-z]{3,}", prose))


def _algebra(gold: str, answer: str) -> tuple[bool | None, str]:
    from math_verify import LatexExtractionConfig, parse, verify
    from sympy import Basic, MatrixBase

    if _IN_SET.match(answer) and not _IN_SET.match(gold):
        answer = _IN_SET.sub("", answer)
    elif _IN_SET.match(gold) and not _IN_SET.match(answer):
        gold = _IN_SET.sub("", gold)
    try:
        # Its own timeouts are alarms, which threads cannot have: the pool's kill is the timeout.
        parsed = [
            parse(f"${value.replace('$', '')}$", [LatexExtractionConfig()], parsing_timeout=None, raise_on_error=True)
            for value in (gold.replace("%", r"\%"), answer.replace("%", r"\%"))
        ]
        if not all(any(isinstance(item, (Basic, MatrixBase)) for item in items) for items in parsed):
            return None, "math-verify cannot read it"
        return verify(*parsed, timeout_seconds=None, raise_on_error=True), "math-verify"
    except MemoryError:
        raise
    except Exception as error:  # whatever a computer algebra system raises on hostile text, it decided nothing
        return None, f"math-verify failed: {type(error).__name__}"
