"""How much of a trace repeats what was said before: the question, or an earlier sentence.

Overlong traces are the most frequent complaint about reasoning models. Two sentences count as the same when their words
and numbers are, whatever their case, punctuation and Markdown.
"""

import re
from collections.abc import Iterator, Sequence

from tracemill.verification.reasoning.steps import sentences

MIN_WORDS = 4  # shorter sentences ("Wait.", "So x = 5.") are not counted at all

_WORD = re.compile(r"[^\W_]+(?:[.,][0-9]+)*|[-+*/=<>^%]")


def restatements(question: str | None, steps: Sequence[str]) -> float | None:
    """Share of the sentences that repeat one of the question or an earlier one, 0 to 1. Takes linear time.

    None for a trace without a sentence of at least `MIN_WORDS` words.
    """
    known = set(_sentences(question or ""))
    total = repeated = 0
    for step in steps:
        for sentence in _sentences(step):
            total += 1
            repeated += sentence in known
            known.add(sentence)
    return repeated / total if total else None


def _sentences(text: str) -> Iterator[tuple[str, ...]]:
    for line in text.splitlines():
        for sentence in sentences(line):
            words = tuple(_WORD.findall(sentence.replace("**", "").casefold()))
            if len(words) >= MIN_WORDS:
                yield words
