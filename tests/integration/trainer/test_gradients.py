"""Gradients of the adapter on 4-bit weights equal those on the dequantized weights.

bitsandbytes on CPU repacks the weights of a model in evaluation mode; afterwards gradients are silently wrong. These
tests fail if any step before a fit does that.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.lessons import ASK, sums
from tests.tiny import LAYERS, tiny_model
from trainer.fit_spec import FitSpec

ALIKE = 0.995


@pytest.fixture(scope="module")
def tiny(models: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(models, tmp_path_factory.mktemp("tiny"))


def _adapted(base: Any) -> Any:
    """The model with an adapter away from its start, the same for each: where B is 0, A has no gradient."""
    import torch
    from peft import get_peft_model

    from trainer.student import lora

    torch.manual_seed(0)
    student = get_peft_model(base, lora(FitSpec()))
    for name, value in student.named_parameters():
        if "lora_B" in name:
            value.data.normal_(std=0.05)
    return student.train()


def _gradients(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    from trainer.completion import Pass

    Pass(student, inputs).cross_entropy().mean().backward()
    return {name: value.grad.float() for name, value in student.named_parameters() if value.requires_grad}


@pytest.fixture
def inputs(tiny: str) -> dict[str, Any]:
    from transformers import AutoTokenizer

    from trainer.completion import Collator
    from trainer.rows import Reader

    reader = Reader(AutoTokenizer.from_pretrained(tiny), ASK)
    rows = [reader.row(example.question, example.text) for example in sums(4)]
    return Collator(0)([{"input_ids": row.input_ids, "labels": row.labels} for row in rows])


@pytest.mark.parametrize("written_out", ["bfloat16", "float32"])
def test_gradients_on_nf4_weights_equal_those_on_dequantized_weights(
    written_out: str, tiny: str, inputs: dict[str, Any]
) -> None:
    import torch
    from torch.nn.functional import cosine_similarity

    from trainer.student import base_model

    packed = _gradients(_adapted(base_model(tiny, "nf4")), inputs)
    dtype = getattr(torch, written_out)
    plain = _gradients(_adapted(base_model(tiny, "nf4").dequantize(dtype=dtype).to(dtype)), inputs)

    assert len(packed) == 2 * 7 * LAYERS
    assert packed.keys() == plain.keys()
    for name, gradient in packed.items():
        assert gradient.abs().max() > 0, name
        assert cosine_similarity(gradient.flatten(), plain[name].flatten(), dim=0) > ALIKE, name
        assert gradient.norm() / plain[name].norm() == pytest.approx(1, abs=0.05), name
