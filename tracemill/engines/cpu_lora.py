"""Correct and fast LoRA on CPU: replacements for three of vLLM's CPU functions.

vLLM 0.32 copies the adapter's weights once for every token of a batch. It also applies the last adapter to rows without
one (index -1), so the base model answers wrongly in a batch with an adapter. Here each adapter is one matrix product
over its own rows. CUDA has its own kernels and is not changed.

Shapes: B rows (tokens), L adapter slots, H inputs, O outputs, r rank.
"""

from collections.abc import Iterator
from typing import Any


def install() -> None:
    """Replace vLLM's functions in this process."""
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    for function in (bgmv_shrink, bgmv_expand, bgmv_expand_slice):
        setattr(lora_ops, function.__name__, function)
        setattr(punica_cpu, function.__name__, function)


def bgmv_shrink(inputs: Any, weights: Any, output: Any, slots: Any, scaling: float = 1.0) -> None:
    """output[B, :r] = scaling · inputs[B, H] · weights[slot, r, H]ᵀ; 0 in rows without an adapter."""
    rank = weights.shape[-2]
    output[:, :rank] = 0
    for rows, weight in _adapters(weights, slots):
        output[rows, :rank] = (scaling * (inputs[rows].to(weight.dtype) @ weight.T)).to(output.dtype)


def bgmv_expand(inputs: Any, weights: Any, output: Any, slots: Any, add_inputs: bool = True) -> None:
    """output[B, :O] (+)= inputs[B, r] · weights[slot, O, r]ᵀ."""
    bgmv_expand_slice(inputs, weights, output, slots, 0, min(weights.shape[-2], output.shape[1]), add_inputs)


def bgmv_expand_slice(
    inputs: Any, weights: Any, output: Any, slots: Any, slice_offset: int, slice_size: int, add_inputs: bool = True
) -> None:
    """`bgmv_expand` into the columns [slice_offset, slice_offset + slice_size) of output."""
    columns = slice(slice_offset, slice_offset + slice_size)
    if not add_inputs:
        output[:, columns] = 0
    for rows, weight in _adapters(weights, slots):
        output[rows, columns] += (inputs[rows].to(weight.dtype) @ weight[:slice_size].T).to(output.dtype)


def _adapters(weights: Any, slots: Any) -> Iterator[tuple[Any, Any]]:
    """The rows (a mask or all) and the matrix of each adapter in the batch."""
    present = slots.unique().tolist()
    for slot in present:
        if slot >= 0:
            weight = weights[slot]
            yield (
                slice(None) if len(present) == 1 else slots == slot,
                weight.squeeze(0) if weight.dim() == 3 else weight,
            )
