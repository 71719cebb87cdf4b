"""The order in which a fit sees its rows: all epochs in one list, so that a resumed fit only counts its steps.

The stages of a curriculum follow each other, and within a stage its epochs. Each epoch is shuffled separately.
"""

import random
from collections.abc import Sequence

#: Steps whose rows are sorted by length together.
STEPS_IN_A_GROUP = 50


def order(lengths: Sequence[int], stages: Sequence[int], epochs: Sequence[int], batch: int, seed: int) -> list[int]:
    """Row indices, each once in every epoch of its stage. `lengths`: tokens of each row; `batch`: rows in a step.

    In an epoch the rows are shuffled. Then rows of similar length form a step, which saves padding, and the steps are
    shuffled. The longest rows come first: a fit without enough memory fails at once.
    """
    generator = random.Random(seed)
    indices: list[int] = []
    for stage, n_epochs in enumerate(epochs):
        rows = [row for row, row_stage in enumerate(stages) if row_stage == stage]
        for epoch in range(n_epochs):
            shuffled = generator.sample(rows, len(rows))
            # The last step of the previous epoch may not be full.
            room = -len(indices) % batch
            indices += shuffled[:room]
            steps = _steps(shuffled[room:], lengths, batch, generator)
            if epoch == 0 and len(steps) > 1:  # the last step may not be full, and must stay the last
                longest = max(range(len(steps) - 1), key=lambda step: lengths[steps[step][0]])
                steps.insert(0, steps.pop(longest))
            indices += [row for step in steps for row in step]
    return indices


def _steps(shuffled: list[int], lengths: Sequence[int], batch: int, generator: random.Random) -> list[list[int]]:
    """Steps of rows of similar length, the longest row first in each; a step that is not full is the last."""
    group = batch * max(1, min(STEPS_IN_A_GROUP, len(shuffled) // (4 * batch)))
    steps: list[list[int]] = []
    for start in range(0, len(shuffled), group):
        by_length = sorted(shuffled[start : start + group], key=lambda row: -lengths[row])
        steps += [by_length[first : first + batch] for first in range(0, len(by_length), batch)]
    n_full = len(shuffled) // batch
    steps[:n_full] = generator.sample(steps[:n_full], n_full)
    return steps
