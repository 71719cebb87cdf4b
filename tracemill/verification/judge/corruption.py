"""Corrupted reasonings, cut short or with a mistake, to test whether the answer depends on the reasoning.

Lanham et al. 2023 (arXiv:2307.13702): "early answering" and "adding mistakes". There the model writes on after a
mistake; here the steps after the mistake are removed, so that only the wrong value can lead to the answer.
"""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from tracemill.text import content_hash

#: Corrupted reasonings for each reasoning.
VARIANTS = 4

_NUMBER = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?")
_SENTENCE = re.compile(r"(\n|(?<=[.!?])[ \t])")
_STATEMENT = re.compile(
    r"\banswers?\b[ \t]{0,3}(?:\*\*|__)?[ \t]{0,3}(?:(?:to|of|for)\b[^\n.:=]{0,80}?)?(?:\b(?:is|are|was)\b|[:=])|####",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{")
_MAX_BOX = 2000


def without_answer(steps: Sequence[str], answer: str) -> list[str]:
    """The steps without sentences that state the final answer, and with empty boxes.

    A sentence states it if it contains `answer` and an announcement ("the answer is", "Answer:", `####`), or nothing
    but `answer`. A value that the reasoning derives stays, even if it equals the answer.
    """
    bare = _bare(answer)

    def states(sentence: str) -> bool:
        content = _bare(sentence)
        return bool(content) and (content == bare or (bare in content and _STATEMENT.search(sentence) is not None))

    kept = ("".join(part for part in _SENTENCE.split(step) if not states(part)).strip() for step in steps)
    return [step for step in map(_empty_boxes, kept) if _bare(step)]


def corrupted(steps: Sequence[str]) -> list[list[str]]:
    """At most `VARIANTS` different reasonings, each a beginning of `steps` that is cut short or ends in a wrong number.

    Half are cut short and half have a mistake, if there are enough steps and numbers. Equal steps give equal results.
    """
    rng = random.Random(content_hash(*steps))
    different: dict[tuple[str, ...], None] = {}
    for variant in islice(_variants(steps, rng), 4 * VARIANTS):
        if variant != tuple(steps):
            different[variant] = None
    return [list(variant) for variant in islice(different, VARIANTS)]


def _variants(steps: Sequence[str], rng: random.Random) -> Iterator[tuple[str, ...]]:
    kept = list(range(1, len(steps)))
    with_number = [index for index, step in enumerate(steps) if _NUMBER.search(step)]
    rng.shuffle(kept)
    rng.shuffle(with_number)
    for _ in range(max(len(kept), len(with_number))):
        if kept:
            yield tuple(steps[: kept.pop()])
        if with_number:
            index = with_number.pop()
            yield (*steps[:index], _mistaken(steps[index], rng))
    if steps:
        words = steps[-1].split(" ")
        yield (*steps[:-1], " ".join(words[: len(words) // 2]))
        yield ()


def _mistaken(step: str, rng: random.Random) -> str:
    """The step with another number after its last equals sign, or without one, at its last number."""
    equals = step.rfind("=")
    number = _NUMBER.search(step, equals + 1) if equals >= 0 else None
    if number is None:
        *_, number = _NUMBER.finditer(step)
    first = int(number[0][0])
    other = 1 + (first - 1 + rng.randint(1, 8)) % 9  # neither the first digit nor 0
    return f"{step[: number.start()]}{other}{step[number.start() + 1 :]}"


def _empty_boxes(step: str) -> str:
    """The step with `…` for the content of each box."""
    parts, read = [], 0
    for box in _BOX.finditer(step):
        if box.start() < read:
            continue  # a box inside a box
        depth, end = 1, box.end()
        while end < min(len(step), box.end() + _MAX_BOX) and depth:
            depth += (step[end] == "{") - (step[end] == "}")
            end += 1
        parts += [step[read : box.start()], "…"]
        read = end
    return "".join([*parts, step[read:]])


def _bare(text: str) -> str:
    """The letters, digits and meaningful signs of the text. Empty: the text says nothing."""
    return "".join(char for char in text.casefold() if char.isalnum() or char in "-+/.%").strip(".")
