"""Measure how much of a trace repeats the question or its own earlier sentences.

Users of reasoning models complain most often of overlong traces. Two sentences are the same if their words and numbers
are. Case, punctuation and Markdown do not count.
"""

import re
from collections.abc import Iterator, Sequence
from string import punctuation

from tracemill.verification.reasoning.steps import AtStep, sentences

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
    repeated = [is_repeated for _, _, is_repeated in _checked(question, steps)]
    return sum(repeated) / len(repeated) if repeated else None


def repeated_sentences(question: str | None, steps: Sequence[str]) -> Iterator[AtStep]:
    """Yield the repeated sentences, each with its step."""
    for index, sentence, is_repeated in _checked(question, steps):
        if is_repeated:
            yield AtStep(index, sentence)


def _checked(question: str | None, steps: Sequence[str]) -> Iterator[tuple[int, str, bool]]:
    """Yield the step and the text of each sentence that counts, and whether it is repeated."""
    earlier = {words for _, words in _sentences(question or "")}
    for index, step in enumerate(steps):
        for sentence, words in _sentences(step):
            yield index, sentence, words in earlier
            earlier.add(words)


def _sentences(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in text.splitlines():
        for sentence in sentences(line):
            plain = sentence.replace("**", "") if "**" in sentence else sentence
            if plain.isascii() and not _MATHEMATICS.search(plain):
                words = plain.translate(_TO_SPACES).lower().split()
            else:
                words = _WORD.findall(plain.casefold())
            if len(words) >= MIN_WORDS:
                yield sentence, tuple(words)
