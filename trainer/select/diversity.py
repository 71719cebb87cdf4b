"""The most different traces of each question, farthest-first (Gonzalez 1985), in one pass over sorted texts."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

from trainer.select.duplicates import shingles


class QuestionText(Protocol):
    """A trace to compare with those of the same question and kind."""

    trace_id: int
    question_id: int
    wrong: bool
    text: str


class Preference(NamedTuple):
    """The order of a trace among those of its question, from 0."""

    trace_id: int
    preference: int


def by_difference(texts: Iterable[QuestionText], max_ranked: int) -> Iterator[Preference]:
    """Order the first `max_ranked` traces of each question; 0 means all.

    `texts` are sorted by question and kind. Only the traces of one question are in memory.
    """
    for _, group in groupby(texts, key=lambda row: (row.question_id, row.wrong)):
        rows = list(group)
        order = farthest_first([row.text for row in rows], max_ranked or len(rows))
        yield from (Preference(rows[index].trace_id, rank) for rank, index in enumerate(order))


def farthest_first(texts: Sequence[str], most: int) -> list[int]:
    """Indices of at most `most` texts: the first one, then each time the text that differs most from those before.

    The similarity of two texts is the Jaccard index of their word 3-grams. Of equal texts the first one comes first.
    """
    sets = [frozenset(shingles(text)) for text in texts]
    similarity = [0.0] * len(sets)
    order = [0]
    remaining = set(range(1, len(sets)))
    while remaining and len(order) < most:
        latest = sets[order[-1]]
        for index in remaining:
            common = len(latest & sets[index])
            similarity[index] = max(similarity[index], common / (len(latest) + len(sets[index]) - common))
        order.append(min(remaining, key=lambda index: (similarity[index], index)))
        remaining.remove(order[-1])
    return order
