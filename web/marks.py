"""Steps of a trace and what was found in them, marked where they stand in its text.

Steps and quotations come from the checks, which tidy spaces. So they are located by their other characters. What cannot
be located is not lost: a quotation becomes a note of its step.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from tracemill.text import printable
from tracemill.thinking import joined
from tracemill.verification.reasoning.restatements import repeated_sentences
from tracemill.verification.reasoning.steps import read as read_steps
from web.records import MAX_SHOWN, Finding, Sample

#: Explanations of the marks, for the page.
KINDS = {
    "false equation": "This equation is false, also after rounding to the digits shown.",
    "ungrounded number": "This number is neither in the question, nor an earlier result, nor a usual constant.",
    "repeated sentence": "This sentence repeats the question or an earlier sentence.",
    "answer": "The final answer of the trace.",
}
#: The most marks of one sort in one trace.
MAX_MARKS = 200
#: Characters of an answer that is marked.
MAX_QUOTE = 500


class Piece(NamedTuple):
    """A part of a text, and the kinds of the marks on it. Characters that a browser would obey are escaped."""

    text: str
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Passage:
    """A step, or text between steps (`number` is None)."""

    number: int | None
    pieces: Sequence[Piece]
    is_first_error: bool = False
    #: Findings whose quotations are not in the text of the step.
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Reading:
    """A trace as the page shows it."""

    thoughts: Sequence[Passage]
    answer: Sequence[Passage]


class _Span(NamedTuple):
    start: int
    end: int


class _Mark(NamedTuple):
    start: int
    end: int
    kind: str


def read(sample: Sample, question: str) -> Reading:
    """The shown parts of a sample, split into passages.

    Steps are in the answer, or in the thoughts if the answer only states its result. Takes linear time.
    """
    thoughts = (sample.thoughts or "")[:MAX_SHOWN]
    text = sample.text[:MAX_SHOWN]
    if sample.steps:
        steps, are_thoughts = list(sample.steps), not _holds(text, sample.steps[0])
    else:
        steps, are_thoughts, _ = read_steps(joined(thoughts, text))
    if are_thoughts and thoughts:
        answer = Passage(None, _pieces(text, 0, len(text), _answer_marks(text, sample.answer)))
        return Reading(_passages(thoughts, steps, sample, question), [answer])
    before = [Passage(None, [Piece(printable(thoughts))])] if thoughts else []
    return Reading(before, _passages(text, steps, sample, question))


def _passages(text: str, steps: Sequence[str], sample: Sample, question: str) -> list[Passage]:
    compact = _Compact(text)
    spans = list(_located(text, compact, steps))
    findings = [*sample.findings, *(Finding(*each) for each in _repeated(question, steps))]
    first_error = min((finding.step for finding in findings if finding.kind == "false equation"), default=None)
    marks = _answer_marks(text, sample.answer)
    notes: dict[int, list[str]] = {}
    for finding in findings:
        span = next((span for index, span in spans if index == finding.step), None)
        quote = None if span is None else _quoted(text, compact, span, finding, marks)
        if quote is not None:
            marks.append(_Mark(*quote, finding.kind))
        elif finding.kind != "repeated sentence":
            notes.setdefault(finding.step, []).append(f"{finding.kind}: {printable(finding.quote)}")
    passages: list[Passage] = []
    end = 0
    for index, span in spans:
        if text[end : span.start].strip():
            passages.append(Passage(None, _pieces(text, end, span.start, marks)))
        step_notes = tuple(notes.pop(index, ()))
        passages.append(Passage(index + 1, _pieces(text, *span, marks), index == first_error, step_notes))
        end = span.end
    if text[end:].strip() or not passages:
        passages.append(Passage(None, _pieces(text, end, len(text), marks)))
    lost = [f"step {index + 1}: {note}" for index, others in notes.items() for note in others]
    return [*passages, Passage(None, [], notes=lost)] if lost else passages


def _repeated(question: str, steps: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    for number, (step, sentence) in enumerate(repeated_sentences(question, steps)):
        if number == MAX_MARKS:
            return
        yield step, "repeated sentence", sentence


def _holds(text: str, step: str) -> bool:
    return bool(step.split()) and _Compact(text).find(step, 0, len(text)) is not None


def _located(text: str, compact: "_Compact", steps: Iterable[str]) -> Iterator[tuple[int, _Span]]:
    """The index and the span of each step that is in the text after the step before it."""
    end = 0
    for index, step in enumerate(steps):
        if (span := compact.find(step, end, len(text))) is None:
            continue
        # A marker such as "Step 2:" that the step lacks stands on the same line.
        yield index, _Span(max(end, text.rfind("\n", end, span.start) + 1), span.end)
        end = span.end


def _quoted(text: str, compact: "_Compact", span: _Span, finding: Finding, marks: Sequence[_Mark]) -> _Span | None:
    """Where a finding's quotation stands in its step; the next occurrence if an equal finding has the one before."""
    start = max(
        (mark.end for mark in marks if mark.kind == finding.kind and span.start <= mark.start < span.end),
        default=span.start,
    )
    if finding.kind == "ungrounded number" and finding.quote:
        match = _whole(finding.quote).search(text, start, span.end)
        return _Span(*match.span()) if match else None
    return compact.find(finding.quote, start, span.end)


def _answer_marks(text: str, answer: str | None) -> list[_Mark]:
    """The last occurrence of the answer in the text."""
    if not answer or not answer.strip() or len(answer) > MAX_QUOTE:
        return []
    return [_Mark(*match.span(), "answer") for match in _whole(answer).finditer(text)][-1:]


def _whole(quote: str) -> re.Pattern[str]:
    """A pattern of a quotation that is no part of a longer number or word."""
    before = r"(?<![\w.])(?<!\d,)" if quote[0].isalnum() else ""
    after = r"(?!\w)(?!\.\d)" if quote[-1].isalnum() else ""
    return re.compile(before + re.escape(quote) + after)


def _pieces(text: str, start: int, end: int, marks: Iterable[_Mark]) -> list[Piece]:
    """The text between two positions, cut at the borders of the marks."""
    inside = [mark for mark in marks if mark.start < end and mark.end > start]
    borders = sorted({start, end, *(min(max(at, start), end) for mark in inside for at in mark[:2])})
    pieces = []
    for left, right in pairwise(borders):
        kinds = tuple(dict.fromkeys(mark.kind for mark in inside if mark.start <= left and mark.end >= right))
        pieces.append(Piece(printable(text[left:right]), kinds))
    return pieces


class _Compact:
    """A text without its white space, and where each of its words stands."""

    def __init__(self, text: str) -> None:
        words = [match.span() for match in re.finditer(r"\S+", text)]
        self._text = "".join(text[start:end] for start, end in words)
        #: For each word: its start in the text, and its start without white space.
        self._starts = [start for start, _ in words]
        self._offsets = []
        length = 0
        for start, end in words:
            self._offsets.append(length)
            length += end - start

    def find(self, part: str, start: int, end: int) -> _Span | None:
        """The span of a part between two positions of the text, whatever its white space."""
        letters = "".join(part.split())
        if not letters:
            return None
        index = self._text.find(letters, self._compact_position(start), self._compact_position(end))
        if index < 0:
            return None
        return _Span(self._position(index), self._position(index + len(letters) - 1) + 1)

    def _position(self, offset: int) -> int:
        word = bisect_left(self._offsets, offset + 1) - 1
        return self._starts[word] + offset - self._offsets[word]

    def _compact_position(self, position: int) -> int:
        word = bisect_left(self._starts, position + 1) - 1
        if word < 0:
            return 0
        length = (self._offsets[word + 1] if word + 1 < len(self._offsets) else len(self._text)) - self._offsets[word]
        return self._offsets[word] + min(position - self._starts[word], length)
