"""The student: a frozen base in 4 bits, and LoRA on every linear layer. QLoRA (Dettmers 2023, arXiv:2305.14314).

The base is stored in NF4 with double quantisation and computes in bfloat16; LoRA is Hu 2021, arXiv:2106.09685.
"""

import os
from typing import Any

import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils import is_flash_attn_2_available

from trainer.fit_settings import FitSettings


def device() -> str:
    """The device of this process: the GPU of its local rank, or `cpu`."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def has_flash_attention() -> bool:
    """Whether this process has a GPU and the package flash-attn."""
    return device() != "cpu" and is_flash_attn_2_available()


def base_model(model: str, quantisation: str, dtype: torch.dtype = torch.bfloat16, is_sharded: bool = False) -> Any:
    """The student, in NF4 or in `dtype`.

    One that is to be sharded stays in main memory until each GPU takes its parts. FSDP shares only floating-point
    tensors, so its NF4 weights are stored as if they were bfloat16.
    """
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_quant_storage=torch.bfloat16 if is_sharded else torch.uint8,
    )
    return AutoModelForCausalLM.from_pretrained(
        model,
        trust_remote_code=False,
        use_safetensors=True,  # no pickle
        dtype=dtype,
        quantization_config=nf4 if quantisation == "nf4" else None,
        device_map={"": "cpu" if is_sharded else device()},
        attn_implementation="flash_attention_2" if has_flash_attention() else "sdpa",
    )


def lora(fit: FitSettings) -> LoraConfig:
    """The configuration of the adapter."""
    return LoraConfig(r=fit.lora_rank, lora_alpha=fit.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM")
