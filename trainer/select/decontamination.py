"""Decontamination: does a training question overlap one of an evaluation, although it is worded differently?

Two questions overlap when they name the same numbers, each as often, and one holds a large part of the other's word
n-grams. One common 13-gram, which Brown 2020 (arXiv:2005.14165, appendix C) went by, is not enough here and too much:
many questions are shorter, and questions made from one template share all but numbers and names. So the numbers decide
first, and n-grams weigh the less the more questions of the evaluations hold them: "which of the following is the most
likely …" says nothing. A long prompt may hide a question among other numbers: it overlaps if it holds all its words in
a row, and these are at least 13.
"""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable

from tracemill.text import words

NUMBER = re.compile(r"\d+(\.\d+)?")
#: Words of an n-gram where the numbers agree and there are any: trigrams outlive a changed word here and there.
SHORT = 3
#: An n-gram that so many questions hold weighs next to nothing and is not looked up.
COMMON = 100
#: Fewest words of a question that is looked for, as a whole, in prompts that name other numbers too.
VERBATIM = 13


class Overlaps:
    """The questions of the evaluations, by number and n-gram: about 300 bytes an n-gram."""

    def __init__(self, ngram: int, share: float) -> None:
        self.ngram, self.share = ngram, share
        self._ids = array("q")
        self._grams: list[array[int]] = []
        self._numbers: set[tuple[str, ...]] = set()
        self._held: Counter[int] = Counter()
        self._where: defaultdict[int, list[int]] = defaultdict(list)
        #: By the hash of a question's first words: how many it has, the hash of all, and its id.
        self._openings: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)

    def add(self, key: int, question: str) -> None:
        """Know this question under the id `key`; all are added before the first is looked for."""
        numbers, found = _read(question)
        grams = self._hashes(numbers, found)
        self._numbers.add(numbers)
        for gram in grams:
            self._where[hash((numbers, gram))].append(len(self._ids))
        self._held.update(grams)
        self._ids.append(key)
        self._grams.append(array("q", grams))
        if len(found) >= VERBATIM:
            self._openings[_hash(found[:VERBATIM])].append((len(found), _hash(found), key))

    def find(self, question: str) -> tuple[int, float] | None:
        """Id of the known question that it overlaps most, and the weight of the n-grams that both hold as a part of the
        whole weight of the lighter one; none if that is not more than the share that makes an overlap. The share of a
        known question that it holds word by word is 1."""
        numbers, found = _read(question)
        return self._alike(numbers, found) or self._held_whole(found)

    def _alike(self, numbers: tuple[str, ...], found: list[str]) -> tuple[int, float] | None:
        if numbers not in self._numbers:
            return None
        grams = self._hashes(numbers, found)
        common: defaultdict[int, float] = defaultdict(float)
        for gram in grams:
            if self._held[gram] <= COMMON:
                for place in self._where.get(hash((numbers, gram)), ()):
                    common[place] += self._weight(gram)
        if not common:
            return None
        whole = self._weigh(grams)
        share, place = max((weight / min(whole, self._weigh(self._grams[at])), -at) for at, weight in common.items())
        return (self._ids[-place], min(1.0, share)) if share > self.share else None

    def _held_whole(self, text: list[str]) -> tuple[int, float] | None:
        for start in range(len(text) - VERBATIM + 1):
            for length, whole, key in self._openings.get(_hash(text[start : start + VERBATIM]), ()):
                if _hash(text[start : start + length]) == whole:
                    return key, 1.0
        return None

    def _weight(self, gram: int) -> float:
        return 1 / max(1, self._held[gram])

    def _weigh(self, grams: Iterable[int]) -> float:
        return sum(self._weight(gram) for gram in grams if self._held[gram] <= COMMON)

    def _hashes(self, numbers: tuple[str, ...], found: list[str]) -> set[int]:
        """Of the n-grams of a question; none if it has fewer words."""
        n = SHORT if numbers else self.ngram
        return {_hash(found[at : at + n]) for at in range(len(found) - n + 1)}


def _read(question: str) -> tuple[tuple[str, ...], list[str]]:
    """A question's numbers, sorted, and its words."""
    found = words(question)
    return tuple(sorted(word for word in found if NUMBER.fullmatch(word))), found


def _hash(found: list[str]) -> int:
    return hash(tuple(found))
