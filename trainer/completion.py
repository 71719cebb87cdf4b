"""Learning from completions: a loss for each token of an answer, from one forward pass.

Padding is on the right, where a causal model never looks. So the model needs no mask, and attention takes its fast
path. Only positions with a label go through the last matrix, which is most of the work of a small student.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor
from trl import SFTTrainer

from trainer.callbacks import Resumable
from trainer.lm_head import Head
from trainer.passes import InPasses
from trainer.rows import IGNORED


class Pass:
    """One forward pass over some rows, with its values at the N learnt tokens."""

    def __init__(self, model: Any, inputs: dict[str, Tensor], hidden_states: bool = False) -> None:
        ids, labels = inputs["input_ids"], inputs["labels"][:, 1:]
        #: rows × (tokens − 1): whether the token after this position is learnt.
        self.learnt = labels != IGNORED
        #: N.
        self.labels = labels[self.learnt]
        student = extract_model_from_parallel(model)
        student = student.get_base_model() if hasattr(student, "get_base_model") else student
        last: list[Any] = []
        hook = student.base_model.register_forward_hook(lambda module, inputs, outputs: last.append(outputs[0]))
        try:
            outputs = model(
                input_ids=ids,
                use_cache=False,
                logits_to_keep=ids.new_empty(0),  # none: `Head` computes them in chunks
                output_hidden_states=hidden_states,
            )
        finally:
            hook.remove()
        self._head = Head.of(student)
        self._states = self.at_positions(last[0])
        self._layers = outputs.hidden_states

    def cross_entropy(self) -> Tensor:
        """N: the cross-entropy of each learnt token."""
        return -self._head.log_probs(self._states, self.labels)

    def of_logits(self, loss: Callable[..., Tensor], *columns: Tensor) -> Tensor:
        """N: the `loss` (function of logits and `columns`) of each learnt token, for a few tokens at a time.

        The logits are n × vocabulary, float32: the student's predictions of n learnt tokens. `columns` have N rows, of
        which the function receives the same n.
        """
        return self._head.in_chunks(loss, self._states, *columns)

    def hidden(self, layer: int) -> Tensor:
        """N × width: the output of a layer (1 is the first) at the positions that predict a learnt token."""
        return self.at_positions(self._layers[layer])

    def at_positions(self, values: Tensor) -> Tensor:
        """N × …: the `values` (rows × tokens × …) at the positions that predict a learnt token."""
        return values[:, :-1][self.learnt]

    def of_tokens(self, values: Tensor) -> Tensor:
        """N × …: the `values` (rows × tokens × …) of the learnt tokens."""
        return values[:, 1:][self.learnt]


class CompletionTrainer(InPasses, Resumable, SFTTrainer):  # type: ignore[misc]  # trl is not typed
    """trl's trainer; its loss is the mean of `losses(model, inputs)` over the N learnt tokens of a step.

    The default is cross-entropy, on CUDA and for rows without padding by trl's fused kernel.
    """

    def __init__(self, *args: Any, losses: Callable[[Any, Any], Tensor] | None = None, **options: Any) -> None:
        self._losses = losses
        super().__init__(*args, **options)
        self.model_accepts_loss_kwargs = True  # so that the number of learnt tokens is always counted

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        del inputs["share"]  # the number of learnt tokens decides
        if self._losses is None and (self.args.device.type == "cuda" or self.args.padding_free):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        losses = self._losses(model, inputs) if self._losses else Pass(model, inputs).cross_entropy()
        # The number counts the tokens of all processes; their gradients are averaged afterwards.
        return losses.sum() / num_items_in_batch * self.accelerator.num_processes


class Collator:
    """Makes padded tensors of rows: `input_ids`, `labels`, `attention_mask`, and those of `more`."""

    def __init__(self, pad: int, more: Callable[[Sequence[dict[str, Any]]], dict[str, Tensor]] | None = None) -> None:
        self._pad = pad
        self._more = more

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        tensors = {
            "input_ids": padded([torch.tensor(row["input_ids"]) for row in rows], self._pad),
            "labels": padded([torch.tensor(row["labels"]) for row in rows], IGNORED),
            "attention_mask": padded([torch.ones(len(row["input_ids"]), dtype=torch.long) for row in rows], 0),
        }
        return tensors | self._more(rows) if self._more else tensors


def padded(rows: Sequence[Tensor], value: float) -> Tensor:
    """One tensor of rows (tokens × …), each padded at its end with `value`."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
