"""Near-duplicates among texts, by MinHash (Broder 1997) with locality-sensitive hashing, in one pass."""

from collections.abc import Iterable, Iterator
from itertools import islice

from tracemill.text import words

#: Words of a shingle, values of a signature (the estimate's standard error is at most 1 / (2 √128) = 0.044).
SHINGLE, PERMUTATIONS = 3, 128
BATCH = 1000


def near_duplicates(texts: Iterable[tuple[int, str]], threshold: float) -> Iterator[int]:
    """Ids of the texts that are similar to an earlier text that stays.

    Similar: the Jaccard index of their word 3-grams is about `threshold` or more. Each text that stays takes about 1 KB
    of memory.
    """
    from rensa import RMinHashDeduplicator

    index = RMinHashDeduplicator(threshold, PERMUTATIONS, use_lsh=True, seed=1)
    texts = iter(texts)
    while batch := list(islice(texts, BATCH)):
        added = index.add_pairs((str(key), shingles(text)) for key, text in batch)
        yield from (key for (key, _), new in zip(batch, added, strict=True) if not new)


def shingles(text: str) -> list[str]:
    """The word 3-grams of a text; a shorter text is one shingle."""
    split = words(text)
    return [" ".join(split[n : n + SHINGLE]) for n in range(max(1, len(split) - SHINGLE + 1))]
