"""Near-duplicates among texts, by MinHash (Broder 1997) with locality-sensitive hashing, in one pass."""

from collections.abc import Iterable, Iterator
from itertools import islice

from tracemill.text import words

#: Words of a shingle, values of a signature (the estimate's standard error is at most 1 / (2 √128) = 0.044).
SHINGLE, PERMUTATIONS = 3, 128
BATCH = 1000


def near_duplicates(texts: Iterable[tuple[int, str]], threshold: float) -> Iterator[int]:
    """Ids of the texts that are like an earlier one which stayed: their word 3-grams have a Jaccard index of about
    `threshold` or more. Takes about 1 KB of memory for each text that stays."""
    from rensa import RMinHashDeduplicator

    seen = RMinHashDeduplicator(threshold, PERMUTATIONS, use_lsh=True, seed=1)
    texts = iter(texts)
    while batch := list(islice(texts, BATCH)):
        added = seen.add_pairs((str(key), shingles(text)) for key, text in batch)
        yield from (key for (key, _), new in zip(batch, added, strict=True) if not new)


def shingles(text: str) -> list[str]:
    """The word 3-grams of a text, or the whole of a shorter one."""
    found = words(text)
    return [" ".join(found[n : n + SHINGLE]) for n in range(max(1, len(found) - SHINGLE + 1))]
