"""Decontamination: does a training question overlap one of an evaluation, although it is worded differently?

Two questions overlap when they name the same numbers, each as often, and one holds a large part of the other's word
n-grams (Brown 2020, arXiv:2005.14165, appendix C, took one common 13-gram). Most questions have fewer than 13 words,
and the questions of a template share all but their numbers and names: so numbers must agree, and the share decides.
Where two numbers or more agree that alone is rare, and trigrams, which survive a changed word, are evidence enough.
"""

import re
from array import array
from collections import Counter

from tracemill.text import words

NUMBER = re.compile(r"\d+(\.\d+)?")
#: Length of the n-grams where two numbers or more agree.
SHORT = 3


class Overlaps:
    """The questions of the evaluations, by number and n-gram. About 200 bytes an n-gram."""

    def __init__(self, ngram: int, share: float) -> None:
        self.ngram, self.share = ngram, share
        self._ids = array("q")
        self._sizes = array("q")
        self._where: dict[int, list[int]] = {}

    def add(self, key: int, question: str) -> None:
        """Know this question under the id `key`."""
        grams = self._grams(question)
        for gram in grams:
            self._where.setdefault(gram, []).append(len(self._ids))
        self._ids.append(key)
        self._sizes.append(len(grams))

    def find(self, question: str) -> tuple[int, float] | None:
        """Id of the known question that it overlaps most, and the share of common n-grams in the shorter of the two."""
        grams = self._grams(question)
        common = Counter(place for gram in grams for place in self._where.get(gram, ()))
        shares = ((count / min(len(grams), self._sizes[place]), place) for place, count in common.items())
        share, place = max(shares, key=lambda found: (found[0], -found[1]), default=(0.0, 0))
        return (self._ids[place], share) if share >= self.share else None

    def _grams(self, question: str) -> set[int]:
        """Hashes of the n-grams, each together with the question's numbers; none of a question shorter than n words."""
        found = words(question)
        numbers = tuple(sorted(word for word in found if NUMBER.fullmatch(word)))
        n = SHORT if len(numbers) > 1 else self.ngram
        return {hash((numbers, *found[at : at + n])) for at in range(len(found) - n + 1)}
