"""Decontamination: search for training questions that overlap a question of an evaluation in other words.

Two questions overlap when they have the same numbers, each equally often, and one contains a large part of the other's
word n-grams. The rule of one common 13-gram (Brown 2020, arXiv:2005.14165, appendix C) does not fit: many questions are
shorter, and questions of one template share everything but numbers and names. So numbers decide first. An n-gram weighs
less when many questions of evaluations contain it: "which of the following is the most likely …" shows nothing. A long
prompt may contain a question beside other numbers: it overlaps if it contains the whole question word by word, and that
has at least 13 words.
"""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable

from tracemill import text

NUMBER = re.compile(r"\d+(\.\d+)?")
#: Words of an n-gram in questions with equal numbers: a changed word breaks only three trigrams.
SHORT = 3
#: An n-gram in more questions than this weighs almost nothing and is not looked up.
MAX_QUESTIONS = 100
#: The fewest words of a question that is searched for word by word in prompts with other numbers.
VERBATIM = 13


class Overlaps:
    """The questions of the evaluations, by numbers and n-gram; each n-gram takes about 300 bytes."""

    def __init__(self, ngram: int, share: float) -> None:
        self.ngram, self.share = ngram, share
        self._ids = array("q")
        self._grams: list[array[int]] = []
        self._numbers: set[tuple[str, ...]] = set()
        #: The number of questions with each n-gram.
        self._counts: Counter[int] = Counter()
        #: The indices of the questions with these numbers and this n-gram.
        self._index: defaultdict[int, list[int]] = defaultdict(list)
        #: By the hash of a question's first words: its number of words, the hash of all, and its id.
        self._openings: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)

    def add(self, key: int, question: str) -> None:
        """Add a question under the id `key`. Add all questions before the first search."""
        numbers, words = _read(question)
        grams = self._hashes(numbers, words)
        self._numbers.add(numbers)
        for gram in grams:
            self._index[hash((numbers, gram))].append(len(self._ids))
        self._counts.update(grams)
        self._ids.append(key)
        self._grams.append(array("q", grams))
        if len(words) >= VERBATIM:
            self._openings[_hash(words[:VERBATIM])].append((len(words), _hash(words), key))

    def find(self, question: str) -> tuple[int, float] | None:
        """(id, share) of the known question with the largest overlap; None if no question overlaps.

        The share is the weight of the common n-grams in the weight of the lighter question. Questions overlap when it
        is above `self.share`. It is 1 for a known question that `question` contains word by word.
        """
        numbers, words = _read(question)
        return self._find_similar(numbers, words) or self._find_verbatim(words)

    def _find_similar(self, numbers: tuple[str, ...], words: list[str]) -> tuple[int, float] | None:
        if numbers not in self._numbers:
            return None
        grams = self._hashes(numbers, words)
        common: defaultdict[int, float] = defaultdict(float)
        for gram in grams:
            if self._counts[gram] <= MAX_QUESTIONS:
                for index in self._index.get(hash((numbers, gram)), ()):
                    common[index] += self._weight(gram)
        if not common:
            return None
        total = self._total_weight(grams)
        share, negated = max(
            (weight / min(total, self._total_weight(self._grams[index])), -index) for index, weight in common.items()
        )
        return (self._ids[-negated], min(1.0, share)) if share > self.share else None

    def _find_verbatim(self, words: list[str]) -> tuple[int, float] | None:
        for start in range(len(words) - VERBATIM + 1):
            for length, whole, key in self._openings.get(_hash(words[start : start + VERBATIM]), ()):
                if _hash(words[start : start + length]) == whole:
                    return key, 1.0
        return None

    def _weight(self, gram: int) -> float:
        return 1 / max(1, self._counts[gram])

    def _total_weight(self, grams: Iterable[int]) -> float:
        return sum(self._weight(gram) for gram in grams if self._counts[gram] <= MAX_QUESTIONS)

    def _hashes(self, numbers: tuple[str, ...], words: list[str]) -> set[int]:
        """The hashes of a question's n-grams; empty if it has fewer than n words."""
        n = SHORT if numbers else self.ngram
        return {_hash(words[start : start + n]) for start in range(len(words) - n + 1)}


def _read(question: str) -> tuple[tuple[str, ...], list[str]]:
    """A question's numbers, sorted, and its words."""
    words = text.words(question)
    return tuple(sorted(word for word in words if NUMBER.fullmatch(word))), words


def _hash(words: list[str]) -> int:
    return hash(tuple(words))
