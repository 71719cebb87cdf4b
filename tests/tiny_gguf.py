"""A GGUF file of a random Qwen2 model of one layer, with a byte-level tokenizer."""

from pathlib import Path

VOCABULARY, WIDTH, WIDER = 259, 32, 64
#: The number of different parameters: with the output tied to the input embeddings.
PARAMETERS = VOCABULARY * WIDTH + 3 * WIDTH + 2 * WIDTH * WIDTH + WIDTH + 2 * (WIDTH * 16 + 16) + 3 * WIDTH * WIDER


def tiny_gguf(path: Path, *, tied: bool = True) -> Path:
    """Write the file. It stores the output embeddings too: with `tied` as the input's, quantised in another way."""
    import gguf
    import numpy as np
    from tokenizers import pre_tokenizers

    random = np.random.default_rng(0)

    def tensor(*shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return random.normal(0, 0.1, shape).astype(np.float32)

    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDER)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    writer.add_token_list([*bytes_, bytes_[0] + bytes_[1], "<|im_start|>", "<|im_end|>"])
    writer.add_token_types([gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL] * 2)
    writer.add_token_merges([f"{bytes_[0]} {bytes_[1]}"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(258)
    writer.add_pad_token_id(258)
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}")

    embeddings = tensor(VOCABULARY, WIDTH)
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output.weight", embeddings * 1.01 if tied else tensor(VOCABULARY, WIDTH))
    writer.add_tensor("output_norm.weight", tensor(WIDTH))
    for name, shape in {
        "attn_norm": (WIDTH,),
        "ffn_norm": (WIDTH,),
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (16, WIDTH),
        "attn_v": (16, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (WIDER, WIDTH),
        "ffn_up": (WIDER, WIDTH),
        "ffn_down": (WIDTH, WIDER),
    }.items():
        writer.add_tensor(f"blk.0.{name}.weight", tensor(*shape))
    for name, size in {"attn_q": WIDTH, "attn_k": 16, "attn_v": 16}.items():
        writer.add_tensor(f"blk.0.{name}.bias", tensor(size))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
