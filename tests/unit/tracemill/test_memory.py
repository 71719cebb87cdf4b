"""The memory of models on a card, by the published figures of known models."""

import tomllib
from typing import Any

import pytest

from tests.documented import blocks
from tracemill import memory
from tracemill.errors import UsageError
from tracemill.memory import GIB, EngineNeed, Shape

CARD_24 = 24 * GIB
MIB = 2**20


def llama(
    hidden: int, layers: int, intermediate: int, heads: int, kv: int, vocabulary: int, **more: Any
) -> dict[str, Any]:
    return {
        "hidden_size": hidden, "num_hidden_layers": layers, "intermediate_size": intermediate,
        "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": vocabulary, **more,
    }  # fmt: skip


TIED = {"tie_word_embeddings": True}
UNTIED = {"tie_word_embeddings": False}
SMOLLM = llama(576, 30, 1536, 9, 3, 49152, **TIED)
QWEN3_4B = llama(2560, 36, 9728, 32, 8, 151936, head_dim=128, **TIED)
GEMMA_1B = llama(1152, 26, 6912, 4, 1, 262144, head_dim=256, model_type="gemma3_text")
#: config.json, published number of parameters, bytes of a token in the key-value cache.
KNOWN = {
    "SmolLM2-135M": (SMOLLM, 134_515_008, 23_040),
    "Qwen3-0.6B": (llama(1024, 28, 3072, 16, 8, 151936, head_dim=128, **TIED), 596_049_920, 114_688),
    "Qwen3-4B": (QWEN3_4B, 4_022_468_096, 147_456),
    "Llama-3.1-8B": (llama(4096, 32, 14336, 32, 8, 128256, **UNTIED), 8_030_261_248, 131_072),
    "Qwen2.5-7B": (llama(3584, 28, 18944, 28, 4, 152064, **UNTIED), 7_615_616_512, 57_344),
    "Llama-3.3-70B": (llama(8192, 80, 28672, 64, 8, 128256, **UNTIED), 70_553_706_496, 327_680),
    "Gemma-3-1B": (GEMMA_1B, 999_885_952, 26_624),
    "Qwen3-30B-A3B": (
        llama(2048, 48, 6144, 32, 4, 151936, head_dim=128, num_experts=128, moe_intermediate_size=768, **UNTIED),
        30_532_122_624,
        98_304,
    ),
    "Mixtral-8x7B": (llama(4096, 32, 14336, 32, 8, 32000, num_local_experts=8, **UNTIED), 46_702_792_704, 131_072),
}


def shape(config: dict[str, Any]) -> Shape:
    read = memory.shape_of(config)
    assert read is not None
    return read


def need(name: str, config: dict[str, Any], **changes: Any) -> EngineNeed:
    return memory.engine_need(
        name, shape(config), **{"card": CARD_24, "max_model_len": 2048, "sequences": 64, **changes}
    )


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_and_cache_of_known_models_are_those_published(name: str) -> None:
    config, parameters, kv_token = KNOWN[name]
    assert shape(config).parameters == pytest.approx(parameters, rel=0.002)
    assert shape(config).kv_token == kv_token


def test_a_vision_models_text_part_is_counted() -> None:
    assert shape({"model_type": "gemma3", "text_config": GEMMA_1B}) == shape(GEMMA_1B)


def test_quantised_weights_take_fewer_bytes() -> None:
    awq = shape(QWEN3_4B | {"quantization_config": {"quant_method": "awq", "bits": 4}})
    fp8 = shape(QWEN3_4B | {"quantization_config": {"quant_method": "fp8"}})
    assert shape(QWEN3_4B).weights > fp8.weights > awq.weights > shape(QWEN3_4B).weights // 4


@pytest.mark.parametrize("config", [{}, {"model_type": "mamba"}, SMOLLM | {"hidden_size": "wide"}])
def test_an_unknown_model_is_not_counted(config: dict[str, Any]) -> None:
    assert memory.shape_of(config) is None


def test_the_first_gpu_snippet_of_the_readme_starts_on_one_24_gb_card() -> None:
    settings = tomllib.loads(next(block for block in blocks("toml") if "[models.teacher.vllm]" in block))
    teacher = settings["models"]["teacher"]
    assert teacher["model"] == "Qwen/Qwen3-4B-Thinking-2507"  # its figures are those of Qwen3-4B
    assert teacher["vllm"].get("options", {}) == {}
    engines = [
        need("teacher", QWEN3_4B, max_model_len=teacher["vllm"]["max_model_len"], lora_rank=16),
        need("student + verifier", SMOLLM, lora_rank=16),
    ]
    shares = memory.shares(engines, CARD_24)
    assert sum(shares.values()) * 24 + 2 * memory.CONTEXT / GIB <= 24 * memory.USABLE
    cache = shares["teacher"] * CARD_24 - (engines[0].least - engines[0].kv_least)
    assert cache / shape(QWEN3_4B).kv_token > 3 * teacher["vllm"]["max_model_len"]
    memory.require_fit(memory.fit_need("student", shape(SMOLLM), rank=16), CARD_24, sleeping=2)


def test_engines_share_what_is_left_and_none_takes_more_than_it_wishes() -> None:
    small, large = need("small", SMOLLM, sequences=4), need("large", QWEN3_4B)
    shares = memory.shares([large, small], CARD_24)
    assert shares["small"] == pytest.approx(small.wish / CARD_24, abs=0.001)
    assert sum(shares.values()) == pytest.approx(memory.USABLE - 2 * memory.CONTEXT / CARD_24, abs=0.002)


def test_a_share_of_the_settings_stays_and_the_others_get_the_rest() -> None:
    fixed = need("fixed", SMOLLM, fixed=0.3)
    shares = memory.shares([fixed, need("large", QWEN3_4B)], CARD_24)
    assert shares["fixed"] == 0.3
    assert shares["large"] == pytest.approx(memory.USABLE - 0.3 - 2 * memory.CONTEXT / CARD_24, abs=0.002)


def test_engines_that_cannot_fit_are_refused_with_the_arithmetic() -> None:
    config, *_ = KNOWN["Llama-3.1-8B"]
    with pytest.raises(UsageError) as refused:
        memory.shares([need("teacher", config), need("verifier", QWEN3_4B, max_model_len=16384)], CARD_24)
    assert "a card of 24.0 GiB" in str(refused.value)
    assert "teacher needs 17.0 GiB (15.0 weights + 1.8 computing + 0.25 one sequence)" in str(refused.value)
    assert "verifier needs 11.3 GiB (7.5 weights + 1.6 computing + 2.2 one sequence)" in str(refused.value)


def test_cards_of_a_group_share_weights_and_cache() -> None:
    config, *_ = KNOWN["Llama-3.3-70B"]
    assert need("large", config, cards=4, card=80 * GIB).weights == pytest.approx(141_107_412_992 / 4, rel=0.002)
    with pytest.raises(UsageError):
        memory.shares([need("large", config, card=80 * GIB)], 80 * GIB)
    memory.shares([need("large", config, cards=4, card=80 * GIB)], 80 * GIB)


def test_a_fit_that_cannot_fit_beside_sleeping_engines_is_refused() -> None:
    fit = memory.fit_need("big", shape(KNOWN["Llama-3.3-70B"][0]), rank=16)
    assert 33 * GIB < fit.weights < 40 * GIB  # NF4 with embeddings in bfloat16
    with pytest.raises(UsageError, match=r"2 sleeping engines keep .* GiB"):
        memory.require_fit(fit, CARD_24, sleeping=2)
    memory.require_fit(fit, 80 * GIB, sleeping=2)
