"""A student that trains in a second: a random Llama of three layers with the embedded model's tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.weights import resolve

LAYERS = 3


def tiny_model(models: Path, folder: Path, *, width: int = 64, seed: int = 0) -> str:
    """Make the model in `folder`, in bfloat16; return the folder's name. `models` has the unpacked embedded model."""
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


#: The chat template of SmolLM2.
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_tokenizer(
    template: str,
    begin: str,
    end: str,
    marks: Sequence[str] = (),
    special: Sequence[str] = (),
    merges: Sequence[tuple[str, str]] = (),
) -> Any:
    """Make a byte-level tokenizer. `marks` are further tokens of their own; `special` are special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [*map("".join, merges), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    reader = Tokenizer(models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=list(merges)))
    reader.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reader.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=reader, bos_token=begin, eos_token=end, pad_token=end)
    tokenizer.add_tokens(list(marks))
    tokenizer.add_tokens(list(special), special_tokens=True)
    tokenizer.chat_template = template
    return tokenizer


def byte_model(
    folder: Path, *, width: int = 32, seed: int = 0, template: str = TEMPLATE, marks: Sequence[str] = ()
) -> str:
    """Make a byte-level model of two layers, in bfloat16; return the folder's name. It needs no other model."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer(template, "<|im_start|>", "<|im_end|>", marks)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
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
