"""The experts of a mixture that NF4 does not reach.

bitsandbytes quantises linear layers, and LoRA adapts linear layers. Most mixtures of experts keep the experts of a
layer in one tensor. It stays in bfloat16 and frozen.
"""

from typing import Any

#: The keys of a configuration that name the number of experts.
COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
#: Bytes of a bfloat16 number.
BF16 = 2


def unquantised_bytes(model: str) -> int:
    """Bytes of the experts that stay in bfloat16, by the shapes of the model; 0 if all are linear layers.

    `model` is a folder or hub name. No weights are loaded.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model, trust_remote_code=False)
    if not any(getattr(config.get_text_config(), key, None) for key in COUNTS):
        return 0
    return BF16 * sum(int(parameter.numel()) for parameter in _stacked(config))


def _stacked(config: Any) -> list[Any]:
    """The parameters that hold a matrix for each expert."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    convolutions = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    modules = (module for module in model.modules() if not isinstance(module, convolutions))
    return [each for module in modules for each in module.parameters(recurse=False) if each.ndim == 3]
