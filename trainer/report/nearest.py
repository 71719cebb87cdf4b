"""Which training questions are most like a question: cosine of character 4-grams, weighted by how rare they are."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import NamedTuple

GRAM = 4


class Near(NamedTuple):
    """A training question and how similar it is, 0 to 1."""

    similarity: float
    question_id: int


def nearest(questions: Sequence[str], known: Mapping[int, str], count: int) -> list[list[Near]]:
    """For each question the `count` most similar ones of `known` (id -> text), the most similar first.

    Similarity is that of TF-IDF vectors (Salton and Buckley 1988). Takes about a second for 10,000 known questions.
    """
    seen = Counter(gram for text in known.values() for gram in set(_grams(text)))

    def vector(text: str) -> dict[str, float]:
        weighted = {gram: n * math.log(1 + len(known) / (1 + seen[gram])) for gram, n in Counter(_grams(text)).items()}
        length = math.sqrt(sum(weight**2 for weight in weighted.values()))
        return {gram: weight / length for gram, weight in weighted.items()} if length else {}

    # From a gram to the questions that have it: most grams of most known questions are in none.
    wanted: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for number, text in enumerate(questions):
        for gram, weight in vector(text).items():
            wanted[gram].append((number, weight))
    near: list[list[Near]] = [[] for _ in questions]
    for question_id, text in known.items():
        products = [0.0] * len(questions)
        for gram, weight in vector(text).items():
            for number, other in wanted.get(gram, ()):
                products[number] += weight * other
        for number, product in enumerate(products):
            if product > 0:
                near[number].append(Near(product, question_id))
    return [nlargest(count, found) for found in near]


def _grams(text: str) -> list[str]:
    plain = f" {' '.join(text.casefold().split())} "
    return [plain[start : start + GRAM] for start in range(max(1, len(plain) - GRAM + 1))]
