"""The forward passes of a step: rows of similar length, no more padded tokens than the memory holds.

A long row is a pass by itself, and does not change the passes of the other rows.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

#: The column of a data set with the length of each row, in tokens.
LENGTH = "length"


def split(lengths: Sequence[int], tokens: int, min_passes: int = 1) -> list[list[int]]:
    """Row indices of each pass: at most `tokens` padded tokens, or one row. The longest rows come first.

    The largest passes are halved until there are `min_passes`.
    """
    passes: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not passes or (len(passes[-1]) + 1) * lengths[passes[-1][0]] > tokens:
            passes.append([])
        passes[-1].append(row)
    while len(passes) < min(min_passes, len(lengths)):
        index = max(range(len(passes)), key=lambda index: len(passes[index]))
        middle = len(passes[index]) // 2
        passes[index : index + 1] = [passes[index][:middle], passes[index][middle:]]
    return passes


def max_over_processes(count: int) -> int:
    """The largest count of all processes of the fit. Each must call this."""
    if not torch.distributed.is_initialized():
        return count
    counts = [count] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(counts, count)
    return max(counts)


class PassCollator:
    """Makes a step of its rows: the inputs of its passes, each by `collate`.

    All processes of a fit make the same number of passes: a sharded model is gathered in each of them.
    """

    def __init__(self, collate: Callable[[list[dict[str, Any]]], dict[str, Any]], tokens: int) -> None:
        self._collate = collate
        self._tokens = tokens

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """`passes`, and `labels`: those of the whole step, from which the trainer counts the learnt tokens."""
        lengths = [row[LENGTH] for row in rows]
        n_passes = max_over_processes(len(split(lengths, self._tokens)))
        indices = split(lengths, self._tokens, n_passes)
        passes = [self._collate([rows[index] for index in part]) for part in indices]
        for part, inputs in zip(indices, passes, strict=True):
            inputs["share"] = len(part) / len(rows)
        labels = [inputs["labels"].flatten() for inputs in passes if "labels" in inputs]
        return {"passes": passes, **({"labels": torch.cat(labels)} if labels else {})}


class InPasses:
    """Mixin of a Transformers trainer whose steps come from `PassCollator`: their gradients add up.

    `compute_loss` receives the pass's share of the rows as input `share`.
    """

    accelerator: Any

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        *first, last = inputs["passes"]
        losses = []
        # A sharded model keeps its parts of the gradients, so that no process holds all of them.
        with nullcontext() if self.accelerator.is_fsdp2 else self.accelerator.no_sync(model):
            for each in first:
                losses.append(super().training_step(model, each, num_items_in_batch))  # type: ignore[misc]
        losses.append(super().training_step(model, last, num_items_in_batch))  # type: ignore[misc]
        return torch.stack(losses).sum()

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """0: nobody reads this figure, and the library cannot count the tokens of passes."""
        return 0
