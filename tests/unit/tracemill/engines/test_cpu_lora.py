"""LoRA on CPU: each row gets its own adapter, and a row without an adapter gets none."""

import torch

from tracemill.engines.cpu_lora import bgmv_expand, bgmv_expand_slice, bgmv_shrink

ROWS, SLOTS, HIDDEN, RANK, OUT = 6, 2, 8, 4, 10
INPUTS = torch.randn(ROWS, HIDDEN)
DOWN = torch.randn(SLOTS, 1, RANK, HIDDEN)
UP = torch.randn(SLOTS, 1, OUT, RANK)
MIXED = torch.tensor([0, -1, 1, 0, -1, 1])


def shrunk(slots: torch.Tensor) -> torch.Tensor:
    output = torch.full((ROWS, RANK), 7.0)
    bgmv_shrink(INPUTS, DOWN, output, slots, 0.5)
    return output


def test_shrink_uses_each_rows_adapter_and_zeroes_rows_without_one() -> None:
    for row, (slot, actual) in enumerate(zip(MIXED.tolist(), shrunk(MIXED), strict=True)):
        expected = torch.zeros(RANK) if slot < 0 else 0.5 * DOWN[slot, 0] @ INPUTS[row]
        torch.testing.assert_close(actual, expected)


def test_a_row_without_an_adapter_keeps_the_base_models_output() -> None:
    base = torch.randn(ROWS, OUT)
    output = base.clone()
    bgmv_expand(shrunk(MIXED), UP, output, MIXED)
    for row, slot in enumerate(MIXED.tolist()):
        added = 0 if slot < 0 else UP[slot, 0] @ (0.5 * DOWN[slot, 0] @ INPUTS[row])
        torch.testing.assert_close(output[row], base[row] + added)


def test_a_batch_with_one_adapter_and_a_batch_with_none_are_right() -> None:
    for slots in (torch.ones(ROWS, dtype=torch.long), torch.full((ROWS,), -1)):
        output = torch.zeros(ROWS, OUT)
        bgmv_expand(shrunk(slots), UP, output, slots)
        expected = 0.5 * INPUTS @ DOWN[1, 0].T @ UP[1, 0].T if slots[0] == 1 else torch.zeros(ROWS, OUT)
        torch.testing.assert_close(output, expected)


def test_a_slice_changes_only_its_own_columns() -> None:
    output = torch.zeros(ROWS, OUT + 5)
    bgmv_expand_slice(shrunk(MIXED), UP, output, MIXED, 5, OUT)
    assert (output[:, :5] == 0).all()
    torch.testing.assert_close(output[0, 5:], UP[0, 0] @ (0.5 * DOWN[0, 0] @ INPUTS[0]))
