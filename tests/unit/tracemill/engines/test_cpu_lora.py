"""LoRA on CPU: each row gets its own adapter, and a row without an adapter gets none."""

from typing import Any

import pytest

from tracemill.engines.cpu_lora import bgmv_expand, bgmv_expand_slice, bgmv_shrink

ROWS, SLOTS, HIDDEN, RANK, OUT = 6, 2, 8, 4, 10


class Batch:
    """The tensors of all tests. Rows of both adapters and of none are mixed."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.inputs = torch.randn(ROWS, HIDDEN)
        self.down = torch.randn(SLOTS, 1, RANK, HIDDEN)
        self.up = torch.randn(SLOTS, 1, OUT, RANK)
        self.mixed = torch.tensor([0, -1, 1, 0, -1, 1])

    def shrunk(self, slots: Any) -> Any:
        output = self.torch.full((ROWS, RANK), 7.0)
        bgmv_shrink(self.inputs, self.down, output, slots, 0.5)
        return output


@pytest.fixture(scope="module")
def batch() -> Batch:
    import torch

    return Batch(torch)


def test_shrink_uses_each_rows_adapter_and_zeroes_rows_without_one(batch: Batch) -> None:
    for row, (slot, actual) in enumerate(zip(batch.mixed.tolist(), batch.shrunk(batch.mixed), strict=True)):
        expected = batch.torch.zeros(RANK) if slot < 0 else 0.5 * batch.down[slot, 0] @ batch.inputs[row]
        batch.torch.testing.assert_close(actual, expected)


def test_a_row_without_an_adapter_keeps_the_base_models_output(batch: Batch) -> None:
    base = batch.torch.randn(ROWS, OUT)
    output = base.clone()
    bgmv_expand(batch.shrunk(batch.mixed), batch.up, output, batch.mixed)
    for row, slot in enumerate(batch.mixed.tolist()):
        added = 0 if slot < 0 else batch.up[slot, 0] @ (0.5 * batch.down[slot, 0] @ batch.inputs[row])
        batch.torch.testing.assert_close(output[row], base[row] + added)


def test_a_batch_with_one_adapter_and_a_batch_with_none_are_right(batch: Batch) -> None:
    torch = batch.torch
    for slots in (torch.ones(ROWS, dtype=torch.long), torch.full((ROWS,), -1)):
        output = torch.zeros(ROWS, OUT)
        bgmv_expand(batch.shrunk(slots), batch.up, output, slots)
        expected = 0.5 * batch.inputs @ batch.down[1, 0].T @ batch.up[1, 0].T
        torch.testing.assert_close(output, expected if slots[0] == 1 else torch.zeros(ROWS, OUT))


def test_a_slice_changes_only_its_own_columns(batch: Batch) -> None:
    output = batch.torch.zeros(ROWS, OUT + 5)
    bgmv_expand_slice(batch.shrunk(batch.mixed), batch.up, output, batch.mixed, 5, OUT)
    assert (output[:, :5] == 0).all()
    batch.torch.testing.assert_close(output[0, 5:], batch.up[0, 0] @ (0.5 * batch.down[0, 0] @ batch.inputs[0]))
