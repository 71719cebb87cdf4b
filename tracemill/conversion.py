"""Convert a GGUF file into an ordinary model folder with weights in bfloat16."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tracemill.errors import UsageError

#: Input and output embeddings that differ by less, relative to their norm, are one matrix that was quantised twice:
#: 4 bits a weight cost less than 0.1. Two independent matrices differ by more than 1.
MAX_QUANTISATION_ERROR = 0.3


def require_converter() -> None:
    """Raise UsageError if a package is missing that the conversion needs."""
    missing = [name for name in ("torch", "transformers", "gguf") if find_spec(name) is None]
    if missing:
        raise UsageError(f"a GGUF file is converted with {', '.join(missing)}: run `pip install 'tracemill[cpu]'`")


def convert(gguf: Path, folder: Path) -> None:
    """Write the tokenizer and the weights of a GGUF file into a folder (15 s for 135M parameters, 43 s for 0.5B)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
    tokenizer.save_pretrained(folder)
    # Without dequantisation the weights stay quantised and cannot be saved.
    weights = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        trust_remote_code=False,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    _tie_equal_embeddings(weights)
    weights.save_pretrained(folder)


def _tie_equal_embeddings(weights: Any) -> None:
    """Tie input and output embeddings again if they are the same matrix.

    llama.cpp may store a tied matrix twice, with more bits for the output. Both then take the output's values.
    """
    import torch

    inputs, output = weights.get_input_embeddings().weight, weights.get_output_embeddings().weight
    if inputs is output or inputs.shape != output.shape:
        return
    with torch.no_grad():
        if (inputs.float() - output.float()).norm() > MAX_QUANTISATION_ERROR * output.float().norm():
            return
        inputs.copy_(output)
    weights.config.tie_word_embeddings = True
    weights.tie_weights()
