"""The experts that stay in bfloat16: those that bitsandbytes leaves, by the shapes of a configuration."""

from pathlib import Path
from typing import Any

import pytest

from trainer.experts import unquantised_bytes

WIDTH, EXPERT_WIDTH, EXPERTS, LAYERS = 32, 16, 4, 2


def _config(folder: Path, family: str, **settings: Any) -> str:
    from transformers import AutoConfig

    shape = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "num_key_value_heads": 1}
    AutoConfig.for_model(family, **shape, vocab_size=64, head_dim=16, **settings).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("qwen3_moe", {"num_experts": EXPERTS, "moe_intermediate_size": EXPERT_WIDTH}),
        ("mixtral", {"num_local_experts": EXPERTS, "intermediate_size": EXPERT_WIDTH}),
    ],
)
def test_three_matrices_of_each_expert_stay_in_bfloat16(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    bytes_ = unquantised_bytes(_config(tmp_path, family, **settings))
    assert bytes_ == LAYERS * EXPERTS * 3 * WIDTH * EXPERT_WIDTH * 2


def test_bitsandbytes_leaves_exactly_these(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from trainer.student import base_model

    settings = {"num_experts": EXPERTS, "moe_intermediate_size": EXPERT_WIDTH, "intermediate_size": 64}
    folder = _config(tmp_path, "qwen3_moe", **settings)
    from transformers import AutoConfig

    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.bfloat16).save_pretrained(folder)
    student = base_model(folder, "nf4")
    left = {name: value for name, value in student.named_parameters() if value.dtype == torch.bfloat16}
    experts = [value for name, value in left.items() if "experts" in name]
    assert 2 * sum(value.numel() for value in experts) == unquantised_bytes(folder)


def test_a_dense_model_has_none(tmp_path: Path) -> None:
    assert unquantised_bytes(_config(tmp_path, "llama", intermediate_size=64)) == 0
