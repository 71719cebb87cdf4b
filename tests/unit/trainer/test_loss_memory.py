"""Losses over the vocabulary in chunks: the logits of all learnt tokens would not fit the memory of a large one."""

from pathlib import Path
from typing import Any

import pytest

from tests.fits import ROUNDED, fit
from tests.tiny import byte_model
from tests.unit.trainer import test_losses


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    return byte_model(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return byte_model(tmp_path_factory.mktemp("teacher"), seed=1)


@pytest.mark.parametrize("objective", ["sft", "stepwise", "logits", "features"])
def test_no_tensor_holds_the_logits_of_all_learnt_tokens(
    objective: str, student: str, teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from transformers import AutoTokenizer

    vocabulary = len(AutoTokenizer.from_pretrained(student))
    largest = 0

    class Watch(TorchDispatchMode):  # type: ignore[misc]  # torch is not typed
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            outputs = function(*args, **(kwargs or {}))
            for tensor in outputs if isinstance(outputs, list | tuple) else [outputs]:
                if isinstance(tensor, torch.Tensor) and tensor.shape[-1:] == (vocabulary,):
                    largest = max(largest, tensor.numel() // vocabulary)
            return outputs

    examples = [
        test_losses.TestLogits._taught(student, example, number)
        for number, example in enumerate(test_losses._examples())
    ]
    settings = {"objective": objective, "teachers": (teacher,), "steps": 1}
    whole = fit(student, tmp_path / "whole", examples, **settings)
    monkeypatch.setattr("trainer.lm_head.CHUNK", 10 * vocabulary)
    monkeypatch.setattr("trainer.lm_head.TILE", 100)
    monkeypatch.setattr("trainer.lm_head.KEPT", 10 * vocabulary)
    with Watch():
        in_chunks = fit(student, tmp_path / "chunks", examples, **settings)
    assert in_chunks.losses == pytest.approx(whole.losses, abs=ROUNDED)
    width = 32  # the matrix itself has as many rows
    assert largest <= width
