"""A student that trains in a second: a random Llama of three layers with the embedded model's tokenizer."""

from pathlib import Path

from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.weights import resolve

LAYERS = 3


def tiny_model(models: Path, folder: Path, *, width: int = 64, seed: int = 0) -> str:
    """Make the model in `folder`, in bfloat16; the folder's name. `models`: where the embedded model is unpacked."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(resolve(EMBEDDED_MODEL, models))
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
