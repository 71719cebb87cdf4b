r"""Split a trace into its rationale and the sentence that states the answer.

The sentence that states the answer is the *label*, the rest is the *rationale* (Hsieh et al. 2023, arXiv:2305.02301).
A label is "The answer is 12.", "Final answer: 12", a heading "Answer" with a line under it, `#### 12`,
`<answer>12</answer>`, or a sentence with a box and no calculation. The label of a program is its code block.

Text:      3 * 4 = 12, so the answer is 12.
Rationale: 3 * 4 = 12
"""

import re
from typing import NamedTuple

from tracemill import thinking
from tracemill.verification.answers import quantities, stated_answers
from tracemill.verification.answers.choices import letters
from tracemill.verification.answers.extract import TAIL, extract
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.answers.normalize import plain, tidy
from tracemill.verification.checks import Findings

MAX_LABELS = 50  # of each kind, from the end
LONGEST = 400  # characters of a label
FEW_WORDS = 6  # a rationale without numbers has at least this number of words

_STATEMENT = re.compile(
    r"answers?\b(?:[ ](?:to|for|of|in)\b[^\n.:=]{0,120}?(?=[ ](?:is|are|was)\b))?[*_]{0,2}(?:[ ](?:is|are|was|equals|"
    r"(?:will|would|must|should)[ ]be|comes out to|turns out to be)\b[ ]?:?|[ ]?[:=→])[*_]{0,2}",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"(?:(?:^|(?<=[^\w'])|(?<=[^\w'][*_]))(?:so|thus|therefore|hence|and|then|finally|(?:which |this )?means(?: "
    r"that)?|the|my|our|your|final|correct|right),?[ *_]{1,3}){1,6}$",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^[ \t]{0,3}(?:#{1,6}[ ]|\*\*|__){0,2}(?:(?:the|my)[ ])?(?:final[ ])?answer[ \t:*_]{0,6}\n\s{0,9}[^\n]{1,300}",
    re.IGNORECASE | re.MULTILINE,
)
_HASHES = re.compile(r"^[ \t]{0,3}####[ \t]{0,9}(?![Ss]tep)[^\n]{1,300}$", re.MULTILINE)
_TAGS = ("answer", "Answer", "final_answer")
_BOX = re.compile(r"\\(?:boxed|fbox)\b")
_STOP = re.compile(r"[.!?](?=[\s\"')*_$\]]|$)|$", re.MULTILINE)
_CALCULATES = re.compile(r"[=≈≡<>]|\\equiv|\\approx|\\[lg]eq?\b|\\implies")
_WORK = re.compile(r"\w\s?[-+*/×÷·^]\s?\$?\d|[=≈≡<>]|\\(?:equiv|frac|cdot|times|approx|sqrt)")
_UNSURE = re.compile(r"[\d\\=]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORDS = re.compile(r"[^\W\d_]{2,}")


class Span(NamedTuple):
    start: int
    end: int


def labels(text: str, kind: Kind = "number") -> list[Span]:
    """The labels in the last `TAIL` characters, in order and without overlaps. Takes linear time."""
    if kind == "code":
        return _program(text)
    skipped = max(0, len(text) - TAIL)
    tail = text[skipped:]
    spans = [
        *_stated(tail),
        *(Span(*match.span()) for pattern in (_HEADING, _HASHES) for match in _last(pattern, tail)),
        *_tagged(tail),
        *(span for match in _last(_BOX, tail) if (span := _boxed(tail, match.start()))),
    ]
    kept: list[Span] = []
    for start, end in sorted(spans):
        if kept and start + skipped < kept[-1].end:
            kept[-1] = Span(kept[-1].start, max(kept[-1].end, end + skipped))
        else:
            kept.append(Span(start + skipped, end + skipped))
    return kept


def rationale(text: str, kind: Kind = "number") -> str:
    """`text` without its labels and without the text after the last one. `text` must hold no thoughts.

    If a text begins with its only label, the rationale is the text after it.
    """
    spans = labels(text, kind)
    if not spans:
        return text.strip()
    pieces, end = [], 0
    for span in spans:
        pieces.append(text[end : span.start].rstrip(" \t,;"))
        end = span.end
    return "".join(pieces).strip() or text[end:].strip()


def stated(text: str, kind: Kind) -> list[str]:
    """The answers in the labels of `text`, in order; at most the last `MAX_LABELS`."""
    answer_text = thinking.split(text).answer
    answers = (extract(answer_text[span.start : span.end], kind) for span in labels(answer_text, kind)[-MAX_LABELS:])
    return [answer.value for answer in answers if answer]


def differ(first: str, second: str) -> bool:
    """Whether two stated answers certainly differ. Compares only single quantities, choices and plain words."""
    first_quantity, second_quantity = quantities.read(plain(first)), quantities.read(plain(second))
    if first_quantity is not None and second_quantity is not None:
        comparable = first_quantity.percent == second_quantity.percent and first_quantity.unit == second_quantity.unit
        return comparable and first_quantity.value != second_quantity.value
    if _UNSURE.search(first + second):
        return False
    if letters(first) and letters(second):
        return letters(first) != letters(second)
    first, second = (" ".join(tidy(text).casefold().split()) for text in (first, second))
    return first not in second and second not in first


def asserted(text: str, findings: Findings) -> str | None:
    """Why `text` only asserts its answer; None if it derives the answer.

    A derivation is a calculation, a number other than the answer, or some words before the answer.
    """
    thoughts, answer_text, _ = thinking.split(text)
    kind = findings.kind or "number"
    spans = labels(answer_text, kind)
    before = answer_text[: spans[-1].start] if spans else answer_text
    for span in reversed(spans[:-1]):
        before = before[: span.start] + before[span.end :]
    before = f"{thoughts or ''}\n{before}"
    last = answer_text[spans[-1].start : spans[-1].end] if spans else ""
    if box := _BOX.search(last):
        before += last[: box.start()]  # the sentence around a box may hold the reason
    if _WORK.search(before) or (kind != "code" and _WORK.search(last) and findings.equations_checked):
        return None
    if kind in ("number", "expression"):
        given = _NUMBER.findall(findings.answer or "")
        has_work = any(number not in given for number in _NUMBER.findall(before))
        min_words = 4 * FEW_WORDS  # "a square has as many corners as sides" derives an answer without a number
    else:
        has_work, min_words = False, FEW_WORDS
    if has_work or len(_WORDS.findall(before)) >= min_words:
        return None
    return "it states its answer and derives nothing"


def _stated(text: str) -> list[Span]:
    spans = []
    for match in _last(_STATEMENT, text):
        rest = text[match.end() : match.end() + LONGEST]
        if stated_answers.stated(rest) or not rest.split("\n", 1)[0].strip(" *_:$\\[("):
            lead = _LEAD.search(text, max(0, match.start() - 60), match.start())
            start = lead.start() if lead else match.start()
            marks = text[max(0, start - 9) : start]  # of a heading or bold print
            spans.append(Span(start - len(marks) + len(marks.rstrip("*_# ")), _sentence_end(text, match.end())))
    return spans


def _tagged(text: str) -> list[Span]:
    ends = [(text.rfind(f"</{tag}>"), tag) for tag in _TAGS]
    return [
        Span(start, end + len(tag) + 3)
        for end, tag in ends
        if end >= 0 and (start := text.rfind(f"<{tag}>", max(0, end - LONGEST), end)) >= 0
    ]


def _boxed(text: str, box: int) -> Span | None:
    """The sentence around a box; None if it calculates, because "so 3 * 4 = [12]" is reasoning."""
    start = max(0, box - LONGEST)
    before = text[start:box].rstrip(" $\\[(\n")
    cut = max(before.rfind("\n"), *(before.rfind(stop) for stop in (". ", "! ", "? ")))
    if _CALCULATES.search(before, cut + 1):
        return None
    return Span(start + cut + 1, _sentence_end(text, box))


def _sentence_end(text: str, start: int) -> int:
    stop = _STOP.search(text, start, start + LONGEST)
    end = stop.end() if stop else len(text)
    return end + len(text[end : end + 9]) - len(text[end : end + 9].lstrip("\"')*_$]"))


def _program(text: str) -> list[Span]:
    end = text.rfind("```")
    start = text.rfind("```", 0, end) if end > 0 else -1
    return [Span(start, end + 3)] if start >= 0 else []


def _last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    return list(pattern.finditer(text))[-MAX_LABELS:]
