"""The order in which a fit sees its rows, all epochs in one list: so a fit that is resumed finds its place by counting.

The stages of a curriculum come one after the other, and within a stage its epochs; each epoch is shuffled by itself.
"""

import random
from collections.abc import Sequence

#: Steps among whose rows those of like length are put together.
GROUPED = 50


def order(lengths: Sequence[int], stages: Sequence[int], epochs: Sequence[int], batch: int, seed: int) -> list[int]:
    """Indices of rows, each as often as its stage has `epochs`. `lengths`: tokens of each row; `batch`: rows a step.

    In an epoch the rows are shuffled, then those of like length are put into one step, so that little is padding, and
    the steps are shuffled again. The longest rows come first: what needs too much memory fails at once.
    """
    chance = random.Random(seed)
    found: list[int] = []
    for stage, times in enumerate(epochs):
        rows = [row for row, own in enumerate(stages) if own == stage]
        for epoch in range(times):
            shuffled = chance.sample(rows, len(rows))
            # The last step of the epoch before may have room left.
            room = -len(found) % batch
            found += shuffled[:room]
            steps = _alike(shuffled[room:], lengths, batch, chance)
            if epoch == 0 and len(steps) > 1:  # the last may not be full, and must stay the last
                longest = max(range(len(steps) - 1), key=lambda step: lengths[steps[step][0]])
                steps.insert(0, steps.pop(longest))
            found += [row for step in steps for row in step]
    return found


def _alike(shuffled: list[int], lengths: Sequence[int], batch: int, chance: random.Random) -> list[list[int]]:
    """Steps of rows of like length, the longest first in each; one that is not full is the last."""
    group = batch * max(1, min(GROUPED, len(shuffled) // (4 * batch)))
    steps: list[list[int]] = []
    for start in range(0, len(shuffled), group):
        alike = sorted(shuffled[start : start + group], key=lambda row: -lengths[row])
        steps += [alike[at : at + batch] for at in range(0, len(alike), batch)]
    full = len(shuffled) // batch
    steps[:full] = chance.sample(steps[:full], full)
    return steps
