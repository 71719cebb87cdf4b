"""Measure how much of a trace repeats the question or its own earlier sentences.

Users of reasoning models complain most often of overlong traces. Two sentences are the same if their words and numbers
are. Case, punctuation and Markdown do not count.
"""

import re
from collections.abc import Iterator, Sequence
from string import punctuation

from tracemill.verification.reasoning.steps import sentences

MIN_WORDS = 4  # shorter sentences ("Wait.", "So x = 5.") do not count

_WORD = re.compile(r"[^\W_]+(?:[.,][0-9]+)*|[-+*/=<>^%]")
#: Without these marks, the words of an ASCII text are what stands between spaces and punctuation.
_MATHEMATICS = re.compile(r"[-+*/=<>^%]|[.,][0-9]")
_TO_SPACES = str.maketrans(dict.fromkeys(punctuation, " "))


def restatements(question: str | None, steps: Sequence[str]) -> float | None:
    """Return the share of repeated sentences, 0 to 1. Takes linear time.

    A sentence is repeated if it occurs in the question or earlier in the trace.
    None for a trace without a sentence of at least `MIN_WORDS` words.
    """
    earlier = set(_sentences(question or ""))
    n_sentences = n_repeated = 0
    for step in steps:
        for sentence in _sentences(step):
            n_sentences += 1
            n_repeated += sentence in earlier
            earlier.add(sentence)
    return n_repeated / n_sentences if n_sentences else None


def _sentences(text: str) -> Iterator[tuple[str, ...]]:
    for line in text.splitlines():
        for sentence in sentences(line):
            if "**" in sentence:
                sentence = sentence.replace("**", "")
            if sentence.isascii() and not _MATHEMATICS.search(sentence):
                words = sentence.translate(_TO_SPACES).lower().split()
            else:
                words = _WORD.findall(sentence.casefold())
            if len(words) >= MIN_WORDS:
                yield tuple(words)
