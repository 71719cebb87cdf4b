"""Quantised weights: the nearest values that a format has, in the layout that vLLM reads."""

import json
from pathlib import Path

import pytest

from tracemill.errors import UsageError
from trainer.quantise import packed, quantise


def model_folder(folder: Path, inputs: int = 64) -> Path:
    """Write a model with one linear layer, one norm and an output layer."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    weight = torch.linspace(-1, 1, 32 * inputs).reshape(32, inputs).to(torch.bfloat16)
    names = ("model.layers.0.mlp.up_proj.weight", "lm_head.weight", "model.embed_tokens.weight")
    save_file(
        {name: weight.clone() for name in names} | {"model.norm.weight": torch.ones(32)}, folder / "model.safetensors"
    )
    return folder


@pytest.mark.parametrize(("form", "error"), [("int8", 0.5 / 127), ("int4", 0.5 / 7)])
def test_each_weight_is_the_nearest_value_of_its_scale(form: str, error: float, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    source = model_folder(tmp_path / "model")
    quantise(source, tmp_path / form, form)
    before, after = load_file(source / "model.safetensors"), load_file(tmp_path / form / "model.safetensors")
    layer = "model.layers.0.mlp.up_proj.weight"
    scale = after[f"{layer}_scale"].float()
    if form == "int8":
        values = after[layer].float()
    else:
        words = after[f"{layer}_packed"].to(torch.int64) & 0xFFFFFFFF
        values = torch.stack([(words >> 4 * nibble) & 15 for nibble in range(8)], -1).reshape(32, 64).float() - 8
        assert after[f"{layer}_shape"].tolist() == [32, 64]
    weight = before[layer].float()
    largest = weight.abs().amax(1, keepdim=True)
    # bfloat16 rounds the scale by at most 2^-8 of it.
    assert ((values * scale - weight).abs() <= largest * (error + 2**-8) + 1e-6).all()
    for name in ("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"):
        assert torch.equal(before[name], after[name])
    config = json.loads((tmp_path / form / "config.json").read_text())
    assert config["quantization_config"]["config_groups"]["group_0"]["weights"]["num_bits"] == int(form[-1])
    assert (tmp_path / form / "tokenizer.json").exists()


def test_eight_numbers_are_packed_lowest_first() -> None:
    import torch

    assert packed(torch.tensor([[1, 2, 3, 4, 5, 6, 7, 15]])).tolist() == [[0xF7654321 - 2**32]]


def test_a_model_that_cannot_be_quantised_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"groups of 32 do not divide the inputs of each layer: \{40\}"):
        quantise(model_folder(tmp_path / "odd", 40), tmp_path / "int4", "int4")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="has no safetensors files with unquantised weights"):
        quantise(tmp_path / "empty", tmp_path / "int8", "int8")
    assert not (tmp_path / "int8").exists()
