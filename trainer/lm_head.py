"""The student's last matrix, from hidden states to the vocabulary, applied in chunks.

The logits of N tokens take N × vocabulary × 4 bytes, and a loss on all of them several times as much. Here no more than
a chunk of them exists at a time, in the forward pass and in the backward pass, which computes each chunk again. Only
the cross-entropy of a few tokens on a CPU keeps its logits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint
from trl.kernels import ChunkedLogProbFunction

#: Logits in a chunk of `in_chunks`. A loss takes a few times their 4 bytes.
CHUNK = 2**24
#: Logits that the cross-entropy keeps on a CPU, where computing them again takes two thirds more time. Their loss and
#: gradient take about three times their 4 bytes.
KEPT = 2**26
#: Columns of a tile of trl's function. Without a fused kernel several copies of a tile exist in float32.
TILE, FUSED_TILE = 2**12, 2**15


@dataclass(frozen=True)
class Head:
    """The last matrix of a causal language model, and what the model does with its results."""

    #: vocabulary × width, and a bias for each token, or None.
    weight: Tensor
    bias: Tensor | None
    #: Factor of the logits.
    scale: float
    #: Bound of the logits: bound × tanh(logits ÷ bound). None means no bound.
    softcap: float | None

    @classmethod
    def of(cls, model: Any) -> Self:
        """The head of a Transformers model. A sharded one is gathered."""
        matrix, config = model.get_output_embeddings(), model.config.get_text_config()
        weight, bias = (whole(values) for values in (matrix.weight, matrix.bias))
        return cls(weight, bias, _scale(config), getattr(config, "final_logit_softcapping", None))

    def log_probs(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """N: the log-probability of each of N labels, predicted by N hidden states (N × width)."""
        if hidden.device.type == "cpu" and len(hidden) * len(self.weight) <= KEPT:
            return -torch.nn.functional.cross_entropy(self.logits(hidden), labels, reduction="none")
        tile = FUSED_TILE if hidden.device.type == "cuda" else TILE
        outputs = ChunkedLogProbFunction.apply(
            hidden, self.weight, self.bias, labels, 1.0, tile, self.softcap, self.scale, ()
        )
        return outputs[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """N × vocabulary, float32."""
        logits = self.scale * torch.nn.functional.linear(hidden, self.weight, self.bias).float()
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def in_chunks(self, function: Callable[..., Tensor], hidden: Tensor, *columns: Tensor) -> Tensor:
        """`function(logits, *columns)` of N tokens, computed for a few tokens at a time.

        `columns` are tensors of N rows, and the result has N values.
        """
        n_tokens = max(1, CHUNK // len(self.weight))

        def of_chunk(hidden: Tensor, *columns: Tensor) -> Tensor:
            return function(self.logits(hidden), *columns)

        chunks = zip(*(values.split(n_tokens) for values in (hidden, *columns)), strict=True)
        results = [checkpoint(of_chunk, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
        return torch.cat(results)


def whole(values: Any) -> Any:
    """The whole tensor if this is a part of it. All processes must call this."""
    return values.full_tensor() if isinstance(values, DTensor) else values


def _scale(config: Any) -> float:
    """The factor that a model's configuration names: families call it differently, and some divide by it."""
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
        if (factor := getattr(config, name, None)) is not None:
            return float(factor)
    factor = float(getattr(config, "logits_scaling", None) or 1)
    return factor if config.model_type == "hyperclovax" else 1 / factor
