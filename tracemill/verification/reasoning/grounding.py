r"""Check the sources of the numbers in a trace, and the source of its answer.

A number is grounded by any of these sources:

- the question gives it, in digits or in words ("three", "twice", "a dozen"); "20%" also gives 0.2 and 80;
- a unit gives it ("hours" gives 60 and 24);
- an equation of the trace results in it;
- it is the sum, difference, product or quotient of two numbers near it;
- it is 0, 1, 2, 10, 50, 100 or 1000.

Each ungrounded number is reported once, where it first occurs, because later steps may use it. Numbers that count or
name something (list and step numbers, "3rd", x2, exponents) and coefficients (3x) are ignored.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

from tracemill.verification.reasoning.arithmetic import MAX_DIGITS, Rational, evaluate, parts, tokens_of
from tracemill.verification.reasoning.equation_sides import after
from tracemill.verification.reasoning.equations import check_cut, cut, decimals_of, rounded, shortened
from tracemill.verification.reasoning.steps import MAX_FINDINGS, AtStep
from tracemill.verification.reasoning.vocabulary import AMOUNTS

MAX_QUESTION = 20_000  # characters read
MAX_ANSWER = 100  # characters
MAX_TRAILING = 50  # numbers read from the end of the steps, in search of an equals sign

_WORD = re.compile(r"[a-z]+")
_COMMON = frozenset((0.0, 1.0, 2.0, 10.0, 50.0, 100.0, 1000.0))
_EQUALS = (
    *(sign + space for sign in ("=", "≈") for space in ("", " ", "$", " $", " \\$", "-", " -", " **")),
    *("is ", "is $", "equals ", "gives ", "makes ", "to ", "→ "),
)
_OPERATORS = tuple("+-−*/×÷·=")
_CLAUSE = re.compile(r"[.;:\n](?:\s|$)|, ")
_VARIABLE = re.compile(r"(?<![A-Za-z])[A-Za-z][\s$)}\\]*\Z")
_LABEL_BEFORE = re.compile(
    r"(?:\b(?:step|case|equation|part|day|option|figure|table|problem|question|method|line|point|note)s? ?[(#]?"
    r"|[_^{#]|\^\s?|frac)\Z",
    re.IGNORECASE,
)
_LABEL_AFTER = re.compile(r"(?:st|nd|rd|th)\b|pt\]|[a-z](?![a-z])")  # 3rd, \\\\[4pt], 3x
_ANSWER = re.compile(r"####|\banswer\b|\\boxed", re.IGNORECASE)
_COMPOUND = re.compile(
    r"\b(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[- ](one|two|three|four|five|six|seven|eight|nine)\b"
)


def ungrounded(question: str, steps: Sequence[str]) -> list[AtStep]:
    """Return the ungrounded numbers in order, at most `MAX_FINDINGS`. Takes linear time.

    Neither the question nor an earlier result explains them.
    """
    return ungrounded_cut(question, [cut(step) for step in shortened(steps)])


def ungrounded_cut(question: str, steps: Sequence[list[str]]) -> list[AtStep]:
    """Do the same as `ungrounded`, for steps that `equations.cut` has cut."""
    known = set(_given_numbers(question[:MAX_QUESTION]))
    seen: set[str] = set()
    findings: list[AtStep] = []
    for step_index, pieces in enumerate(steps):
        factors: set[float] | None = None
        for index in range(1, len(pieces), 2):
            text = pieces[index]
            if text in seen:
                continue
            seen.add(text)
            value = float(text.replace(",", ""))
            if value in known:
                continue
            known.add(value)
            if (
                _is_result(pieces, index)
                or _is_label(pieces, index)
                or _is_computed(value, pieces, index, steps[step_index - 1] if step_index else [])
            ):
                continue
            if factors is None:  # once a step, because it reads the whole step
                factors = _conversion_factors(pieces)
            if value not in factors:
                findings.append(AtStep(step_index, text))
                if len(findings) == MAX_FINDINGS:
                    return findings
    return findings


def unused_cut(question: str, used: Sequence[Rational]) -> int:
    """Count the numbers of the question, in digits, that are not in `used`.

    A number that occurs twice in the question must be used twice.
    """
    return (_count_numbers(question) - Counter(map(Fraction, used))).total()


@lru_cache(maxsize=1_024)
def _count_numbers(question: str) -> Counter[Fraction]:
    """Count how often each number in digits occurs in the question."""
    return Counter(_exact(cut(question[:MAX_QUESTION])[1::2]))


def _exact(numbers: Iterable[str]) -> Iterator[Fraction]:
    """Yield the values of numbers in digits, without those that are too long to read."""
    return (Fraction(text.replace(",", "")) for text in numbers if len(text) <= MAX_DIGITS)


@lru_cache(maxsize=1_024)
def _given_numbers(question: str) -> frozenset[float]:
    """Return the numbers that the question gives, in digits, words and units."""
    pieces = cut(question)
    known = {*_COMMON, float(len(pieces) // 2)}  # the count of its numbers: "the mean of these four"
    for index in range(1, len(pieces), 2):
        value = float(pieces[index].replace(",", ""))
        following = pieces[index + 1].lstrip(" \\")
        known.add(value)
        if following.startswith(("%", "percent", "per cent")):
            known.update((value / 100, 100 - value, 100 + value, 1 - value / 100, 1 + value / 100))
        elif following.startswith(("cent", "¢")) or value % 1:
            known.update((value / 100, value * 100))
        if value < 1:
            known.update((1 - value, 1 + value, 100 * (1 - value)))
        if (
            pieces[index + 1] == "/"
            and index + 2 < len(pieces)
            and (denominator := float(pieces[index + 2].replace(",", "")))
        ):
            known.update(
                (
                    value / denominator,
                    denominator - value,
                    denominator + value,
                    100 * value / denominator,
                    1 - value / denominator,
                    1 + value / denominator,
                )
            )
    lower = question.lower()
    for word in AMOUNTS.keys() & _WORD.findall(lower):
        known |= AMOUNTS[word]
    for tens, ones in _COMPOUND.findall(lower):
        known.add(max(AMOUNTS[tens]) + min(AMOUNTS[ones]))
    if "%" in question or "percent" in lower:
        known.add(0.01)
    if "percent" in lower:
        known |= {derived for value in known if value < 100 for derived in (value / 100, 100 - value, 100 + value)}
    return frozenset(known)


def _is_result(pieces: list[str], index: int) -> bool:
    """Is the number the result of an equation?"""
    gap = pieces[index - 1]
    if not gap.endswith(_EQUALS):
        return "=" in gap and gap.rstrip(" \n$*(\\{-−[").endswith(("=", "frac", "sqrt", "boxed")) and index > 1
    head = gap.rpartition("=")[0] if "=" in gap else gap[:-1]
    return (index > 1 and len(head) < 40 and not _CLAUSE.search(head)) or ("=" in gap and bool(_VARIABLE.search(head)))


def _is_label(pieces: list[str], index: int) -> bool:
    """Does the number count or name something, instead of measuring it?"""
    before, after = pieces[index - 1] or ("\n" if index == 1 else ""), pieces[index + 1]
    if before[-1:].isalpha() or _LABEL_BEFORE.search(before[-20:]) or _LABEL_AFTER.match(after):
        return True
    return before.rstrip(" *(").endswith("\n") and after[:1] in (".", ")")


def _is_computed(value: float, pieces: list[str], index: int, previous: list[str]) -> bool:
    """Is `value` a sum, difference, product or quotient of two numbers near it?

    Near are numbers of its step, or the last two of the previous step.
    """
    nearby = {*pieces[max(1, index - 8) : index : 2]} or {*previous[1::2][-2:]}
    if (
        pieces[index - 1].rstrip(" $(\\")[-1:] not in _OPERATORS
        and pieces[index + 1].lstrip(" $)\\")[:1] not in _OPERATORS
    ):
        nearby.update(pieces[index + 2 : index + 7 : 2])  # its calculation may follow it: 24 clips (48/2)
    values = [float(text.replace(",", "")) for text in nearby]
    if value % 1 == 0 and any(other % 1 and abs(other - value) < 1 for other in values):
        return True  # 8.33, so 9 boxes
    return any(value in (a + b, a - b, a * b) or (b and abs(a / b - value) < 0.005) for a in values for b in values)


def _conversion_factors(pieces: list[str]) -> set[float]:
    """The factors between two units of which one is in the step."""
    words = AMOUNTS.keys() & _WORD.findall("0".join(pieces[::2]).lower())
    return {factor for word in words for factor in AMOUNTS[word]}


def concludes(steps: Sequence[str], answer: str) -> bool | None:
    """Does the last value that the steps derive equal the answer? Takes linear time.

    The last value stands after the last equals sign, or later in prose before the answer is stated. None if the steps
    derive no value, or if either value cannot be read as a number. A derived 14.4 may give an answer of 14 or 15.
    """
    cuts = [cut(step) for step in shortened(steps)]
    return concludes_cut(cuts, check_cut(cuts).last, answer)


def concludes_cut(steps: Sequence[list[str]], last: Rational | None, answer: str) -> bool | None:
    """Do the same as `concludes`, for steps that `equations.cut` has cut.

    `last` is the value after their last equals sign.
    """
    value = _answer_value(answer)
    if value is None:
        return None
    if last is not None and _is_answer(last, value, answer):
        return True
    trailing, has_equation = _trailing_numbers(steps)
    if any(_is_answer(number, value, answer) for number in _exact(trailing)):
        return True
    return None if last is None and (has_equation or not trailing) else False


def _answer_value(answer: str) -> Rational | None:
    if len(answer) > MAX_ANSWER:
        return None
    tokens = tokens_of(parts(answer))
    start = max((index for index, token in enumerate(tokens) if token.kind in ("=", "≈")), default=0) + 1
    side = after(tokens, start - (tokens[0].kind == "dash" and start == 1))
    if side is None or any(token.kind not in ("break", "word") for token in tokens[side.ends :]):
        return None
    return evaluate(side.tokens)


def _is_answer(derived: Rational, stated: Rational, answer: str) -> bool:
    if derived == stated:
        return True
    exact = Fraction(derived)
    if exact in (stated * 100, Fraction(stated) / 100):
        return True  # percent and cents
    number = answer.strip("$*. ").replace(",", "")
    if stated.denominator == 1 and exact.denominator > 1:
        return abs(exact - stated) < 1
    return rounded(exact, stated, decimals_of(number) if number[-1:].isdigit() else 0)


def _trailing_numbers(steps: Sequence[list[str]]) -> tuple[list[str], bool]:
    """Return the numbers after the last equals sign and before the answer.

    The flag tells whether there is such a sign. Without one, only the last number is returned.
    """
    numbers: list[str] = []
    for distance, pieces in enumerate(reversed(steps)):
        if distance > 1 and numbers:
            break  # numbers this far from the end are not the result
        for index in range(len(pieces) - 1, -1, -1):
            if index % 2:
                numbers.append(pieces[index])
            elif "=" in pieces[index]:
                return numbers[:-1], True
            elif _ANSWER.search(pieces[index]):
                numbers = []
            elif len(numbers) > MAX_TRAILING:
                return numbers, True
    return numbers[:1], False
