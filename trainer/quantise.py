"""Write a model folder with quantised weights: `python -m trainer.quantise SOURCE FOLDER FORMAT`.

The weights of every linear layer but the output layer are rounded to the nearest value, without calibration data. That
is the least that such a format costs in accuracy; GPTQ or AWQ may cost less. The folder has the format of
compressed-tensors, which vLLM serves on CPUs and on GPUs.

- `int8`: weights of 8 bits with a scale for each output channel; activations of 8 bits with a scale for each token.
- `int4`: weights of 4 bits with a scale for each group of inputs; activations stay in bfloat16.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracemill.errors import TracemillError, UsageError
from tracemill.interpreter import protect_children

if TYPE_CHECKING:
    from torch import Tensor

#: Inputs with one scale in the format int4: the first size that divides the inputs of every layer.
GROUPS = (64, 32)
INDEX = "model.safetensors.index.json"


def quantise(source: Path, folder: Path, form: str) -> None:
    """Write the model of `source` into `folder` in the format int8 or int4. Raises UsageError if it cannot."""
    from safetensors.torch import load_file, save_file

    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    files = sorted(source.glob("*.safetensors"))
    if not files or config.get("quantization_config"):
        raise UsageError(f"{source} has no safetensors files with unquantised weights, which {form} is made from")
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(source, unfinished, ignore=shutil.ignore_patterns("*.safetensors", INDEX))
    names: dict[str, str] = {}
    size = _group_size(files) if form == "int4" else None
    for file in files:
        tensors: dict[str, Any] = {}
        for name, tensor in load_file(file).items():
            tensors |= _quantised(name, tensor, form, size) if is_linear(name, tensor) else {name: tensor}
        save_file(tensors, unfinished / file.name, metadata={"format": "pt"})
        names |= dict.fromkeys(tensors, file.name)
    if len(files) > 1:
        (unfinished / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    config["quantization_config"] = _config(form, size)
    (unfinished / "config.json").write_text(json.dumps(config, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def is_linear(name: str, tensor: "Tensor") -> bool:
    """Whether a tensor has the weights of a linear layer. Raises UsageError for the weights of several experts."""
    if tensor.ndim > 2 and "proj" in name:
        raise UsageError(f"{name} has the weights of several experts, and only single layers are quantised here")
    return tensor.ndim == 2 and name.endswith(".weight") and "embed" not in name and "lm_head" not in name


def _group_size(files: Sequence[Path]) -> int:
    """The group of int4 for all layers. Raises UsageError if none divides the inputs of each."""
    from safetensors import safe_open

    inputs = set()
    for file in files:
        with safe_open(file, "pt") as tensors:
            layers = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
            inputs |= {layer.shape[1] for name, layer in layers.items() if is_linear(name, layer)}
    for size in GROUPS:
        if all(each % size == 0 for each in inputs):
            return size
    raise UsageError(f"{files[0].parent}: groups of {GROUPS[-1]} do not divide the inputs of each layer: {inputs}")


def _quantised(name: str, weight: "Tensor", form: str, size: int | None) -> "dict[str, Tensor]":
    """The tensors of one layer, with groups of `size` inputs, or one for all."""
    import torch

    rows, inputs = weight.shape
    top = 127 if form == "int8" else 7
    groups = weight.float().reshape(rows, -1, size or inputs)
    scales = (groups.abs().amax(-1, keepdim=True) / top).clamp(min=1e-8)
    values = (groups / scales).round().clamp(-top - 1, top).reshape(rows, inputs)
    scale = {f"{name}_scale": scales.squeeze(-1).to(weight.dtype)}
    if form == "int8":
        return {name: values.to(torch.int8), **scale}
    shape = torch.tensor([rows, inputs])
    return {f"{name}_packed": packed(values.to(torch.int64) + 8), f"{name}_shape": shape, **scale}


def packed(values: "Tensor") -> "Tensor":
    """Eight numbers from 0 to 15 in each 32-bit number, the first one in the lowest bits."""
    import torch

    shifts = torch.arange(0, 32, 4)
    words = (values.reshape(values.shape[0], -1, 8) << shifts).sum(-1)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def _config(form: str, size: int | None) -> dict[str, Any]:
    shared = {"type": "int", "symmetric": True}
    weights = {**shared, "num_bits": 8, "strategy": "channel", "dynamic": False}
    activations: dict[str, Any] | None = {**shared, "num_bits": 8, "strategy": "token", "dynamic": True}
    if form == "int4":
        weights |= {"num_bits": 4, "strategy": "group", "group_size": size}
        activations = None
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations, "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized" if form == "int8" else "pack-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": group},
    }


if __name__ == "__main__":
    protect_children()
    try:
        quantise(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    except TracemillError as problem:
        print(problem, file=sys.stderr)
        sys.exit(problem.exit_code)
