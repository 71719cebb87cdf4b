"""Reasonings made worse: cut short, or with a mistake, for asking whether the answer depends on them.

Lanham et al. 2023 (arXiv:2307.13702): "early answering" and "adding mistakes". Theirs lets the model go on after a
mistake; here what came after it is dropped, so that the model can only go on from the wrong value.
"""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from tracemill.text import content_hash

#: How many corrupted reasonings are made of one.
VARIANTS = 4

_NUMBER = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?")
_SENTENCE = re.compile(r"(\n|(?<=[.!?])[ \t])")
_STATEMENT = re.compile(
    r"\banswers?\b[ \t]{0,3}(?:\*\*|__)?[ \t]{0,3}(?:(?:to|of|for)\b[^\n.:=]{0,80}?)?(?:\b(?:is|are|was)\b|[:=])|####",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{")
_LONGEST_BOX = 2000


def without_answer(steps: Sequence[str], answer: str) -> list[str]:
    """The steps without the sentences that state the final answer, and without what stands in a box.

    A sentence states it if it holds `answer` and says that it is one ("the answer is", "Answer:", `####`), or holds
    nothing else. A value that the reasoning derives stays, also where it equals the answer.
    """
    bare = _bare(answer)

    def states(sentence: str) -> bool:
        said = _bare(sentence)
        return bool(said) and (said == bare or (bare in said and _STATEMENT.search(sentence) is not None))

    kept = ("".join(part for part in _SENTENCE.split(step) if not states(part)).strip() for step in steps)
    return [step for step in map(_empty_boxes, kept) if _bare(step)]


def corrupted(steps: Sequence[str]) -> list[list[str]]:
    """Up to `VARIANTS` different reasonings, each a beginning of `steps` that is cut short or ends in a wrong number.

    Half are cut short, half have a mistake, as far as there are steps and numbers. The same steps give the same ones.
    """
    rng = random.Random(content_hash(*steps))
    different: dict[tuple[str, ...], None] = {}
    for variant in islice(_variants(steps, rng), 4 * VARIANTS):
        if variant != tuple(steps):
            different[variant] = None
    return [list(variant) for variant in islice(different, VARIANTS)]


def _variants(steps: Sequence[str], rng: random.Random) -> Iterator[tuple[str, ...]]:
    kept = list(range(1, len(steps)))
    with_number = [place for place, step in enumerate(steps) if _NUMBER.search(step)]
    rng.shuffle(kept)
    rng.shuffle(with_number)
    for _ in range(max(len(kept), len(with_number))):
        if kept:
            yield tuple(steps[: kept.pop()])
        if with_number:
            place = with_number.pop()
            yield (*steps[:place], _mistaken(steps[place], rng))
    if steps:
        words = steps[-1].split(" ")
        yield (*steps[:-1], " ".join(words[: len(words) // 2]))
        yield ()


def _mistaken(step: str, rng: random.Random) -> str:
    """The step with another number for the one after its last equals sign, or else for its last one."""
    equals = step.rfind("=")
    number = _NUMBER.search(step, equals + 1) if equals >= 0 else None
    if number is None:
        *_, number = _NUMBER.finditer(step)
    first = int(number[0][0])
    other = 1 + (first - 1 + rng.randint(1, 8)) % 9  # another digit than the first, and never 0
    return f"{step[: number.start()]}{other}{step[number.start() + 1 :]}"


def _empty_boxes(step: str) -> str:
    """The step with `…` for the content of each box."""
    parts, read = [], 0
    for box in _BOX.finditer(step):
        if box.start() < read:
            continue  # a box in a box
        depth, end = 1, box.end()
        while end < min(len(step), box.end() + _LONGEST_BOX) and depth:
            depth += (step[end] == "{") - (step[end] == "}")
            end += 1
        parts += [step[read : box.start()], "…"]
        read = end
    return "".join([*parts, step[read:]])


def _bare(text: str) -> str:
    """The text's letters, digits and signs that carry meaning: what is left tells whether it says anything."""
    return "".join(char for char in text.casefold() if char.isalnum() or char in "-+/.%").strip(".")
