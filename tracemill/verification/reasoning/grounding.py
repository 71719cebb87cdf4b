r"""Where do the numbers of a trace come from, and does its answer come from its reasoning?

A number is grounded if the question gives it, in digits or in words ("three", "twice", "a dozen"; "20%" also gives 0.2
and what is left of 100), if its units do ("hours" gives 60 and 24), if an equation of the trace yields it, if simple
arithmetic on two numbers beside it in its step does, or if it is 0, 1, 2, 10, 50, 100 or 1000. Each ungrounded number
is named once, where it first stands: what follows may build on it. Numbers that count or name something (list and step
numbers, "3rd", x2, exponents) and coefficients (3x) are passed over.
"""

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from tracemill.verification.reasoning.arithmetic import Rational, evaluate, parts, tokens_of
from tracemill.verification.reasoning.equation_sides import after
from tracemill.verification.reasoning.equations import check_cut, cut, decimals_of, rounded, shortened
from tracemill.verification.reasoning.steps import AtStep
from tracemill.verification.reasoning.vocabulary import AMOUNTS

MAX_QUESTION = 20_000  # characters read
MAX_ANSWER = 100  # characters
MAX_TOLD = 50  # steps, and numbers, looked through for the last one told

_WORD = re.compile(r"[a-z]+")
_HARMLESS = frozenset((0.0, 1.0, 2.0, 10.0, 50.0, 100.0, 1000.0))
_EQUALS = (
    *(sign + after for sign in ("=", "≈") for after in ("", " ", "$", " $", " \\$", "-", " -", " **")),
    *("is ", "is $", "equals ", "gives ", "makes ", "to ", "→ "),
)
_OPERATORS = tuple("+-−*/×÷·=")
_CLAUSE = re.compile(r"[.;:\n](?:\s|$)|, ")
_VARIABLE = re.compile(r"(?<![A-Za-z])[A-Za-z][\s$)}\\]*\Z")
_COUNTS = re.compile(
    r"(?:\b(?:step|case|equation|part|day|option|figure|table|problem|question|method|line|point|note)s? ?[(#]?"
    r"|[_^{#]|\^\s?|frac)\Z",
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b|pt\]|[a-z](?![a-z])")  # 3rd, \\\\[4pt], 3x
_ANSWER = re.compile(r"####|\banswer\b|\\boxed", re.IGNORECASE)
_COMPOUND = re.compile(
    r"\b(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[- ](one|two|three|four|five|six|seven|eight|nine)\b"
)


def ungrounded(question: str, steps: Sequence[str]) -> list[AtStep]:
    """The numbers that neither the question nor an earlier result explains, in order. Takes linear time."""
    return ungrounded_cut(question, [cut(step) for step in shortened(steps)])


def ungrounded_cut(question: str, steps: Sequence[list[str]]) -> list[AtStep]:
    """`ungrounded` for steps that `equations.cut` has cut."""
    known = set(_given(question[:MAX_QUESTION]))
    read: set[str] = set()
    found: list[AtStep] = []
    for place, pieces in enumerate(steps):
        for at in range(1, len(pieces), 2):
            text = pieces[at]
            if text in read:
                continue
            read.add(text)
            value = float(text.replace(",", ""))
            if value in known:
                continue
            known.add(value)
            if (
                _derived(pieces, at)
                or _names(pieces, at)
                or _computed(value, pieces, at, steps[place - 1] if place else [])
                or _converts(value, pieces)
            ):
                continue
            found.append(AtStep(place, text))
    return found


def unused_cut(question: str, used: Sequence[Rational]) -> int:
    """How many of the question's numbers in digits, each as often as it stands there, are not among the used ones."""
    return (_digits(question) - Counter(map(Fraction, used))).total()


@lru_cache(maxsize=1_024)
def _digits(question: str) -> Counter[Fraction]:
    """The question's numbers in digits, with how often each stands there."""
    return Counter(Fraction(text.replace(",", "")) for text in cut(question[:MAX_QUESTION])[1::2])


@lru_cache(maxsize=1_024)
def _given(question: str) -> frozenset[float]:
    """What the question gives: its numbers, and what its words and units stand for."""
    pieces = cut(question)
    known = {*_HARMLESS, float(len(pieces) // 2)}  # the mean of these four numbers
    for at in range(1, len(pieces), 2):
        value = float(pieces[at].replace(",", ""))
        after = pieces[at + 1].lstrip(" \\")
        known.add(value)
        if after.startswith(("%", "percent", "per cent")):
            known.update((value / 100, 100 - value, 100 + value, 1 - value / 100, 1 + value / 100))
        elif after.startswith(("cent", "¢")) or value % 1:
            known.update((value / 100, value * 100))
        if value < 1:
            known.update((1 - value, 1 + value, 100 * (1 - value)))
        if pieces[at + 1] == "/" and at + 2 < len(pieces) and (below := float(pieces[at + 2].replace(",", ""))):
            known.update(
                (value / below, below - value, below + value, 100 * value / below, 1 - value / below, 1 + value / below)
            )
    lower = question.lower()
    for word in AMOUNTS.keys() & _WORD.findall(lower):
        known |= AMOUNTS[word]
    for tens, ones in _COMPOUND.findall(lower):
        known.add(max(AMOUNTS[tens]) + min(AMOUNTS[ones]))
    if "%" in question or "percent" in lower:
        known.add(0.01)
    if "percent" in lower:
        known |= {more for value in known if value < 100 for more in (value / 100, 100 - value, 100 + value)}
    return frozenset(known)


def _derived(pieces: list[str], at: int) -> bool:
    """Is it the result of an equation?"""
    gap = pieces[at - 1]
    if not gap.endswith(_EQUALS):
        return "=" in gap and gap.rstrip(" \n$*(\\{-−[").endswith(("=", "frac", "sqrt", "boxed")) and at > 1
    head = gap.rpartition("=")[0] if "=" in gap else gap[:-1]
    return (at > 1 and len(head) < 40 and not _CLAUSE.search(head)) or ("=" in gap and bool(_VARIABLE.search(head)))


def _names(pieces: list[str], at: int) -> bool:
    """Does it count or name something instead of measuring it?"""
    before, after = pieces[at - 1] or ("\n" if at == 1 else ""), pieces[at + 1]
    if before[-1:].isalpha() or _COUNTS.search(before[-20:]) or _ORDINAL.match(after):
        return True
    return before.rstrip(" *(").endswith("\n") and after[:1] in (".", ")")


def _computed(value: float, pieces: list[str], at: int, previous: list[str]) -> bool:
    """Is it a sum, difference, product or quotient of two numbers near it in its step, or before it?"""
    near = {*pieces[max(1, at - 8) : at : 2]} or {*previous[1::2][-2:]}
    if pieces[at - 1].rstrip(" $(\\")[-1:] not in _OPERATORS and pieces[at + 1].lstrip(" $)\\")[:1] not in _OPERATORS:
        near.update(pieces[at + 2 : at + 7 : 2])  # what it is worked out from may also follow: 24 clips (48/2)
    values = [float(text.replace(",", "")) for text in near]
    if value % 1 == 0 and any(other % 1 and abs(other - value) < 1 for other in values):
        return True  # 8.33, so 9 boxes
    return any(value in (a + b, a - b, a * b) or (b and abs(a / b - value) < 0.005) for a in values for b in values)


def _converts(value: float, pieces: list[str]) -> bool:
    """Is it how many of one unit make another, with a unit named in its step?"""
    return any(value in AMOUNTS[word] for word in AMOUNTS.keys() & _WORD.findall("0".join(pieces[::2]).lower()))


def concludes(steps: Sequence[str], answer: str) -> bool | None:
    """Does the last value that the steps derive equal the answer? None when they derive none. Takes linear time.

    The last value is what stands after the last equals sign, or is told after that and before the answer is stated.
    None too if either cannot be read as a number. A derived 14.4 may become an answer of 14 or 15.
    """
    cuts = [cut(step) for step in shortened(steps)]
    return concludes_cut(cuts, check_cut(cuts).last, answer)


def concludes_cut(steps: Sequence[list[str]], last: Rational | None, answer: str) -> bool | None:
    """`concludes` for steps that `equations.cut` has cut, with the value after their last equals sign."""
    value = _value(answer)
    if value is None:
        return None
    if last is not None and _same(last, value, answer):
        return True
    told, derived = _told(steps)
    if any(_same(Fraction(text.replace(",", "")), value, answer) for text in told):
        return True
    return None if last is None and (derived or not told) else False


def _value(answer: str) -> Rational | None:
    if len(answer) > MAX_ANSWER:
        return None
    tokens = tokens_of(parts(answer))
    start = max((at for at, token in enumerate(tokens) if token.kind in ("=", "≈")), default=0) + 1
    side = after(tokens, start - (tokens[0].kind == "dash" and start == 1))
    if side is None or any(token.kind not in ("break", "word") for token in tokens[side.ends :]):
        return None
    return evaluate(side.tokens)


def _same(derived: Rational, stated: Rational, answer: str) -> bool:
    if derived == stated:
        return True
    exact = Fraction(derived)
    if exact in (stated * 100, Fraction(stated) / 100):
        return True  # percent and cents
    number = answer.strip("$*. ").replace(",", "")
    if stated.denominator == 1 and exact.denominator > 1:
        return abs(exact - stated) < 1
    return rounded(exact, stated, decimals_of(number) if number[-1:].isdigit() else 0)


def _told(steps: Sequence[list[str]]) -> tuple[list[str], bool]:
    """The numbers after the last equals sign and before the answer, and is there such a sign; without one, the last."""
    told: list[str] = []
    for back, pieces in enumerate(reversed(steps)):
        if back > 1 and told:
            break  # what is told here was not derived nearby
        for at in range(len(pieces) - 1, -1, -1):
            if at % 2:
                told.append(pieces[at])
            elif "=" in pieces[at]:
                return told[:-1], True
            elif _ANSWER.search(pieces[at]):
                told = []
            elif len(told) > MAX_TOLD:
                return told, True
    return told[:1], False
