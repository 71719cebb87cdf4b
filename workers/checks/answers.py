r"""What did the trace answer? The text is read from its end: the last word counts.

Three forms are *strict*, the trace said that this is its answer: ``\boxed{X}``, "The answer is X" (also "Final answer:
X", a heading "Final answer" with X under it) and GSM8K's ``#### X``. If several occur, the last one in the text counts.
Failing these, two *lenient* guesses: the right side of the last equation, then the last number.

A value keeps its units, its percent and money signs and everything that makes it two answers ("5 or 6"): whether these
matter depends on the gold answer, so `correctness.compare` decides. Markdown, ``$…$`` around it and a dot after it go.
"""

import re
from dataclasses import dataclass
from typing import Literal

Form = Literal["boxed", "stated", "hashes", "equation", "last number"]
STRICT_FORMS: frozenset[Form] = frozenset({"boxed", "stated", "hashes"})

TAIL = 100_000  # characters: an answer lies near the end, and every search below stays short on hostile text
VALUE = 2_000  # characters of one value; correctness refuses far shorter ones

_STATED = re.compile(
    r"\banswers?\b(?:\*\*|__)?(?:[ \t](?:to|for|of)\b[^\n.:=]{0,80}?)?[ \t]{0,3}"
    r"(?:\b(?:is|are|was|equals|(?:would|will|must|should) be)\b(?:[ \t]{0,3}(?:\*\*|__)?:)?|[:=])(?:\*\*|__)?",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^[ \t]{0,3}(?:#{1,6}[ \t]{0,3}|\*\*|__)(?:the[ \t])?(?:final[ \t])?answer[ \t]?:?(?:\*\*|__)?:?[ \t]{0,9}$",
    re.IGNORECASE | re.MULTILINE,
)
_HASHES = re.compile(r"^[ \t]{0,3}####[ \t]{0,9}(\S[^\n]{0,300})$", re.MULTILINE)
_HASHED_NUMBER = re.compile(r"(?!\d+\.[ \t])[-+−$€£\\]{0,3}\.?\d[\d.,/]{0,60} ?\\?%?(?: [A-Za-z]{1,20}){0,3}\.?$")
_BOX = re.compile(r"\\(?:boxed|fbox)[ \t]{0,3}\{")
_NUMBER = re.compile(
    r"(?:(?<![\w.)])[-−])?[$€£]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+(?![\d.]))?(?: ?\\?%)?"
)
_EQUALS = re.compile(r"(?<![=<>!:≠])=(?![=>])")
_MARK = re.compile(r"<<[^<>\n]{0,200}>>")

# "The answer is not obvious" or "the answer is in the table" states no answer.
_NO_VALUE = re.compile(
    r"(?:not|n't|the following|correct|incorrect|wrong|right|in|as follows|above|below|given|found|clear|unclear|"
    r"obvious|unknown|(?:the )?(?:final )?answer|simply|obtained|then|therefore|still|reasonable)\b(?!\s*\()",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"[.!?](?=\s|$|\*\*|__)|\s(?:because|since|which|so that|as we)\s|,\s+(?:and|but|so|not|as|if)\s"
)
# "that she has 12 apples left" is a sentence around one number.
_IN_A_SENTENCE = re.compile(
    r"(?:that|there (?:are|is|were|was|will)|he|she|it|they|we|you|I|(?:The |the )?[A-Z]?[a-z]{1,20}"
    r" (?:has|have|had|needs?|needed|will|can|paid|pays|spent|spends|earned|earns|makes?|made|sold|got|gets))\s"
)
_HEDGE = re.compile(r"(?:approximately|about|roughly|exactly|equal to|≈|~)\s{0,3}", re.IGNORECASE)
_UNDECIDED = re.compile(r"\b(?:or|and|not|no|between|least|most|than|about)\b|[=+*/^\\<>]|n't", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """One extracted answer: its text, and the form in which it was given."""

    value: str
    form: Form


def extract(text: str) -> Answer | None:
    """The last answer that `text` gives; None if it gives none and holds no number. Takes linear time."""
    tail = text[-TAIL:]
    found = [hit for hit in (_boxed(tail), _stated(tail), _hashes(tail)) if hit is not None]
    if found:
        return max(found, key=lambda hit: hit[0])[1]
    return _lenient(_MARK.sub("", tail[-VALUE * 5 :]))


def tidy(value: str) -> str:
    """`value` without markdown, math delimiters and closing punctuation around it."""
    value = value[:VALUE]
    before = None
    while value != before:
        before = value
        value = value.strip().strip("*`").strip().rstrip(",;:").strip()
        if value.endswith(".") and not value.endswith("..."):
            value = value[:-1]
        for left, right in (("__", "__"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
            inner = value[len(left) : -len(right)]
            if (
                len(value) > len(left + right)
                and value.startswith(left)
                and value.endswith(right)
                and left not in inner
            ):
                value = inner
    return value


def _boxed(tail: str) -> tuple[int, Answer] | None:
    starts = list(_BOX.finditer(tail))[-20:]
    for match in reversed(starts):
        end = _closing_brace(tail, match.end())
        value = tidy(tail[match.end() : end]) if end is not None else ""
        if value:
            return match.start(), Answer(value, "boxed")
    return None


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for place in range(start, min(len(text), start + VALUE)):
        if text[place] == "{" and text[place - 1] != "\\":
            depth += 1
        elif text[place] == "}" and text[place - 1] != "\\":
            depth -= 1
            if depth == 0:
                return place
    return None


def _stated(tail: str) -> tuple[int, Answer] | None:
    starts = sorted(match.end() for pattern in (_STATED, _HEADING) for match in pattern.finditer(tail))
    for start in reversed(starts[-50:]):
        value = _stated_value(tail[start : start + VALUE])
        if value:
            return start, Answer(value, "stated")
    return None


def _stated_value(rest: str) -> str:
    rest = rest.lstrip(" \t\r\n*_:")
    for left, right in (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)")):
        if rest.startswith(left) and (end := rest.find(right, len(left))) > 0:
            return tidy(rest[len(left) : end])
    line = rest.split("\n", 1)[0]
    if _NO_VALUE.match(line):
        return ""
    line = line[hedge.end() :] if (hedge := _HEDGE.match(line)) else line
    if end_of_sentence := _SENTENCE_END.search(line):
        line = line[: end_of_sentence.start()]
    line = tidy(line)
    if _IN_A_SENTENCE.match(line) and not _UNDECIDED.search(line):
        numbers = list(_NUMBER.finditer(line))
        if len(numbers) == 1:
            line = line[numbers[0].start() :]
    if not any(char.isalnum() for char in line):
        return ""
    return line


def _hashes(tail: str) -> tuple[int, Answer] | None:
    # "#### Step 2" is a markdown heading: a value is a number, or the last line of the text.
    hits = list(_HASHES.finditer(tail))[-50:]
    for match in reversed(hits):
        value = match[1].strip()
        if _HASHED_NUMBER.match(value) or not tail[match.end() :].strip():
            value = tidy(value)
            if value and not _HEADING.match(match[0]):
                return match.start(), Answer(value, "hashes")
    return None


def _lenient(tail: str) -> Answer | None:
    for match in reversed(list(_EQUALS.finditer(tail))[-20:]):
        side = tail[match.end() : match.end() + 200].lstrip(" \t\n*_")
        number = _NUMBER.match(side)
        if number and not re.match(r"[ \t]{0,3}[-+*/^×·÷−(]|[A-Za-z]?\^|\d", side[number.end() :]):
            return Answer(tidy(number[0]), "equation")
        line = side.split("\n", 1)[0]
        if end := _SENTENCE_END.search(line):
            line = line[: end.start()]
        if any(char.isdigit() for char in line):
            return Answer(tidy(line), "equation")
    numbers = list(_NUMBER.finditer(tail))
    return Answer(tidy(numbers[-1][0]), "last number") if numbers else None
