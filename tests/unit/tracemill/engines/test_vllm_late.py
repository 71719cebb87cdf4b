"""The time limit of a sample in vLLM. vLLM itself is scripted here: each sample waits, and then has its tokens."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tests.unit.tracemill.engines.engine_contract import QUESTION
from tracemill.engines import Sampling
from tracemill.engines.adapters import Adapters
from tracemill.engines.gate import Gate
from tracemill.engines.vllm import VllmEngine
from tracemill.engines.vllm_options import sequences
from tracemill.errors import EngineError, RequestRefused

TIMEOUT = 0.4


class Sample(NamedTuple):
    """Seconds until its first token, and from there to its last."""

    waiting: float
    working: float
    error: Exception | None = None


class ScriptedLlm:
    """The part of vLLM's `AsyncLLM` that a request uses."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = iter(samples)
        self.cancelled = 0
        self.output_processor = SimpleNamespace(external_req_ids={}, request_states={})

    async def generate(
        self, prompt: object, params: object, request_id: str, lora_request: object
    ) -> AsyncIterator[Any]:
        sample = next(self._samples)
        state = SimpleNamespace(is_prefilling=True)
        self.output_processor.external_req_ids[request_id] = [f"{request_id}-0"]
        self.output_processor.request_states[f"{request_id}-0"] = state
        try:
            await asyncio.sleep(sample.waiting)
            state.is_prefilling = False
            await asyncio.sleep(sample.working)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if sample.error:
            raise sample.error
        yield SimpleNamespace(outputs=[SimpleNamespace(text="4", token_ids=[7], finish_reason="stop", logprobs=None)])


class Tokenizer:
    all_special_tokens: Sequence[str] = ()

    def apply_chat_template(self, *_: object, **__: object) -> list[int]:
        return [1, 2, 3]

    def decode(self, *_: object, **__: object) -> str:
        return ""


def engine_of(*samples: Sample) -> VllmEngine:
    engine = VllmEngine.__new__(VllmEngine)
    engine._llm = ScriptedLlm(samples)
    engine._tokenizer, engine._closing_ids, engine._hidden = Tokenizer(), (), None
    engine._steps = nullcontext()
    engine._steps.stalled_seconds = 0.0  # type: ignore[attr-defined]
    engine._stall, engine._timeout, engine._max_model_len = 60.0, TIMEOUT, 100
    engine._ids, engine._gate = itertools.count(), Gate()
    engine._adapters = Adapters(None, None)  # type: ignore[arg-type]
    return engine


def texts(engine: VllmEngine, n: int) -> list[str]:
    generation = asyncio.run(engine.generate(QUESTION, n, Sampling()))
    return [completion.text for completion in generation.completions]


def test_the_wait_for_the_first_token_has_no_limit() -> None:
    assert texts(engine_of(*[Sample(3 * TIMEOUT, 0.1)] * 4), 4) == ["4"] * 4


def test_a_late_sample_costs_none_of_its_siblings() -> None:
    engine = engine_of(Sample(0, 0.1), Sample(0, 60), Sample(2 * TIMEOUT, 0.1))
    assert texts(engine, 3) == ["4", "4"]
    assert engine._llm.cancelled == 1


def test_a_request_whose_samples_are_all_late_fails() -> None:
    with pytest.raises(EngineError, match=r"not finished 0\.4 s after the first token \(timeout_seconds\)"):
        texts(engine_of(Sample(0.1, 60), Sample(0, 60)), 2)


def test_a_refusal_is_not_hidden_by_siblings() -> None:
    with pytest.raises(RequestRefused, match="too long"):
        texts(engine_of(Sample(0, 0.1), Sample(0, 0.1, ValueError("too long"))), 2)


@pytest.mark.parametrize(
    ("cache_tokens", "max_model_len", "expected"),
    [(45_000, 2048, 175), (70_000, 16_384, 34), (10_000_000, 2048, 256), (100, 2048, 1), (None, 2048, 256)],
)
def test_the_cache_decides_how_many_sequences_are_in_the_engine(
    cache_tokens: int | None, max_model_len: int, expected: int
) -> None:
    assert sequences(cache_tokens, max_model_len, 256) == expected
