"""What a reasoning model thought before it answered: the text between `<think>` and `</think>`.

Some chat templates open the thoughts in the prompt, so that only their end is in the answer; and an answer that is cut
short does not end them.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

BEGIN, END = "<think>", "</think>"


def span(text: str) -> tuple[int, int]:
    """Where an answer's thoughts are: from after the last opening mark to before the last closing one.

    An empty span, (0, 0), when there are none. In a text that closes none, what follows an opening mark is thought.
    """
    before, end, _ = text.rpartition(END)
    if not end:
        start = text.find(BEGIN)
        return (0, 0) if start < 0 else (start + len(BEGIN), len(text))
    start = before.rfind(BEGIN)
    return (0 if start < 0 else start + len(BEGIN)), len(before)


def count(
    ids: Sequence[int], vocabulary: Mapping[str, int], decode: Callable[[Sequence[int]], str], opened: bool = False
) -> int:
    """How many of an answer's tokens are thoughts, the marks not counted.

    `vocabulary`: the token ids of the marks, of a model that has such tokens. Any other spells them with several, which
    are found by the text of ever longer beginnings (`decode`: token ids -> text). `opened`: the prompt opened them.
    """
    marks = vocabulary.get(BEGIN), vocabulary.get(END)
    if None in marks:
        return _count_spelt(ids, decode, opened)
    begins, ends = ([place for place, token in enumerate(ids) if token == mark] for mark in marks)
    if not ends:
        start = begins[0] + 1 if begins else 0 if opened else len(ids)
        return len(ids) - start
    return ends[-1] - max((begin + 1 for begin in begins if begin < ends[-1]), default=0)


def _count_spelt(ids: Sequence[int], decode: Callable[[Sequence[int]], str], opened: bool) -> int:
    prefix = BEGIN if opened else ""
    start, end = (place - len(prefix) for place in span(prefix + decode(ids)))

    def tokens(characters: int) -> int:
        return bisect_left(range(len(ids)), characters, key=lambda length: len(decode(ids[:length])))

    return tokens(end) - tokens(start) if end > start else 0
