"""vLLM in the worker's own process: `AsyncLLM`, continuous batching over all tasks in flight, one LoRA adapter a call.

The same code runs on CPU and on CUDA; which one is a matter of the installed vLLM build.
"""

import asyncio
import itertools
import logging
import math
import os
import re
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tracemill import thinking
from tracemill.engines import Completion, Generation, Sampling, Score, choice_shares
from tracemill.engines.plugin import OWNER
from tracemill.errors import EngineDead, EngineError, RequestRefused, UsageError
from tracemill.interpreter import protected_children
from tracemill.logprobs import TopK
from tracemill.model_settings import ModelSettings
from tracemill.prompts import Message, token_ids
from tracemill.weights import resolve

log = logging.getLogger(__name__)

#: A machine with so many cores or fewer has none to spare.
FEW_CORES = 4
#: How many of the likeliest first tokens `choose` looks at.
LIKELIEST = 20
#: Tokens at the end of a prompt in which the mark stands that opens the thoughts, if the template opens them.
PROMPT_END = 8


class VllmEngine:
    """One model in this process. Must be used from one event loop."""

    def __init__(self, model: ModelSettings, data_dir: Path) -> None:
        """Load the model (10–20 s for a small one on CPU). Raises UsageError, or EngineError if vLLM will not start."""
        os.environ[OWNER] = str(os.getpid())
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
            from vllm.v1.engine.async_llm import AsyncLLM

            from tracemill.engines.stall import Steps
        except ImportError as error:
            raise UsageError(
                f"engine 'vllm' is not installed ({error}). Run: pip install 'tracemill[gpu]', or 'tracemill[cpu]' "
                "on a machine without a GPU"
            ) from None

        on_cpu = current_platform.is_cpu()
        if on_cpu:
            _share_cores()
        settings = model.vllm
        if settings.device == "cuda" and on_cpu:
            raise UsageError(
                f'model {model.model} is set to device = "cuda", but the installed vLLM is the CPU build or sees no '
                'GPU. Run it on a GPU machine with tracemill[gpu], or set device = "auto".'
            )
        options: dict[str, Any] = {
            "model": resolve(model.model, data_dir),
            "max_model_len": settings.max_model_len,
            "enable_prefix_caching": True,
            "enable_lora": settings.adapters,
            "max_lora_rank": settings.max_lora_rank,
            "trust_remote_code": False,
            "enable_log_requests": False,
            "disable_log_stats": True,
        }
        if on_cpu:
            options |= {
                "dtype": "bfloat16",
                "enforce_eager": True,
                "kv_cache_memory_bytes": int(settings.kv_cache_gib * 2**30),
                # Only whole blocks of a shared prompt are cached. The default of 128 tokens makes every sample compute
                # most of its few-shot examples again: more than twice the time of the whole generation.
                "block_size": 32,
            }
        options |= settings.options
        try:
            arguments = AsyncEngineArgs(**options)
            config = arguments.create_engine_config()
        except (TypeError, ValueError, KeyError, NotImplementedError) as error:
            raise UsageError(
                f"model {model.model}: vLLM does not take these settings (or options): {_told(error)}"
            ) from None
        except Exception as error:
            raise EngineError(f"model {model.model}: vLLM cannot use it: {_last_cause(error)}") from error
        self._steps = Steps()
        try:
            with protected_children():
                self._llm = AsyncLLM.from_vllm_config(
                    config,
                    stat_loggers=[lambda *_: self._steps],
                    enable_log_requests=arguments.enable_log_requests,
                    disable_log_stats=arguments.disable_log_stats,
                )
        except Exception as error:  # vLLM raises whatever its layers raise
            raise EngineError(f"model {model.model}: vLLM did not start: {_last_cause(error)}") from error
        self._tokenizer = self._llm.get_tokenizer()
        self._closing_ids = thinking.closing_ids(self._tokenizer.get_added_vocab())
        self._hidden = hidden_tokens(self._tokenizer)
        self._max_model_len = settings.max_model_len
        self._adapters_served = settings.adapters
        self._timeout = model.timeout_seconds
        self._stall = settings.stall_seconds
        self._ids = itertools.count()
        self._adapters: dict[Path, int] = {}

    @property
    def silent(self) -> float:
        return self._steps.silent

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        """Answer `messages` n times.

        Where the chat template opens the thoughts in the prompt, the text begins with that mark all the same. Raises
        what the protocol says; RequestRefused also for more log-probabilities than the option `max_logprobs` (20).
        """
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError
        from vllm.sampling_params import RequestOutputKind

        try:
            params = SamplingParams(
                n=n,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                stop=list(sampling.stop),
                include_stop_str_in_output=True,
                skip_special_tokens=self._hidden is None,
                logprobs=sampling.logprobs or None,
                flat_logprobs=True,
                # In the default kind each update holds only the samples that changed, so some of n > 1 are lost.
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
        except (ValueError, VLLMClientError) as error:
            raise RequestRefused(f"vLLM refused the sampling settings: {error}") from error
        started = time.monotonic()
        prompt = token_ids(self._tokenizer, messages)
        output = await self._final(prompt, params, adapter)
        opened = thinking.opened_at_end(self._decoded(prompt[-PROMPT_END:]))
        completions = tuple(self._completion(one, opened) for one in output.outputs)
        return Generation(completions, len(prompt), time.monotonic() - started)

    def _completion(self, output: Any, opened: str) -> Completion:
        ids = output.token_ids
        opened = f"{opened}\n" if opened else ""
        text = opened + self._shown(output.text)
        thoughts = thinking.count_tokens(text, ids, self._closing_ids, self._decoded, opened)
        return Completion(text, len(ids), output.finish_reason, thoughts, top_k(ids, output.logprobs))

    def _decoded(self, ids: Sequence[int]) -> str:
        return self._shown(str(self._tokenizer.decode(ids, skip_special_tokens=self._hidden is None)))

    def _shown(self, text: str) -> str:
        """The text without special tokens, thinking marks excepted."""
        return text if self._hidden is None else self._hidden.sub("", text)

    async def choose(self, messages: list[Message], choices: Sequence[str]) -> dict[str, float] | None:
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=1, temperature=0, logprobs=LIKELIEST)
        output = await self._final(token_ids(self._tokenizer, messages), params, None)
        likeliest = output.outputs[0].logprobs[0].values()
        return choice_shares([(e.decoded_token or "", math.exp(e.logprob)) for e in likeliest], choices)

    async def score(self, messages: list[Message], continuation: str, adapter: Path | None = None) -> Score:
        """How likely the answer begins with `continuation`: one request of one forced token for each of its tokens.

        All but the first find the prompt in the prefix cache. vLLM's own way, `prompt_logprobs`, computes the whole
        prompt again (it may not read the cache) and the logits of each of its positions, which can exhaust a GPU.
        Nor is `logprob_token_ids` used: one such request takes the likeliest tokens from all others in its batch.
        """
        prompt = token_ids(self._tokenizer, messages)
        answer = continuation_ids(self._tokenizer, messages, prompt, continuation)
        logprobs = await asyncio.gather(
            *(self._forced(prompt + answer[:place], token, adapter) for place, token in enumerate(answer))
        )
        return Score(min(math.fsum(logprobs), 0.0), len(answer))

    async def _forced(self, ids: list[int], token: int, adapter: Path | None) -> float:
        """Log-probability of `token` after `ids`. vLLM reports it as it was before all others were forbidden."""
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=1, temperature=0, logprobs=0, allowed_token_ids=[token], detokenize=False)
        output = await self._final(ids, params, adapter)
        return float(output.outputs[0].logprobs[0][token].logprob)

    async def close(self) -> None:
        self._llm.shutdown()
        # vLLM's destructor shuts down once more, at a time when its modules are gone already.
        self._llm.shutdown = lambda *_, **__: None

    async def _final(self, ids: list[int], params: Any, adapter: Path | None) -> Any:
        from vllm import TokensPrompt
        from vllm.exceptions import VLLMClientError, VLLMError
        from vllm.v1.engine.exceptions import EngineDeadError

        if len(ids) >= self._max_model_len:
            raise RequestRefused(
                f"the prompt has {len(ids)} tokens; the model takes {self._max_model_len} (max_model_len) with the "
                "answer"
            )
        outputs = self._llm.generate(
            TokensPrompt(prompt_token_ids=ids), params, f"r{next(self._ids)}", lora_request=self._lora(adapter)
        )
        try:
            async with asyncio.timeout(self._timeout):
                return await self._while_it_works(_last(outputs))
        except EngineDeadError as error:
            raise EngineDead(f"vLLM's engine process died: {error}") from error
        except TimeoutError:
            raise EngineError(f"no answer after {self._timeout:g} s (timeout_seconds)") from None
        except (ValueError, VLLMClientError) as error:
            raise RequestRefused(f"vLLM refused the request: {error}") from error
        except VLLMError as error:
            raise EngineError(f"vLLM could not answer: {error}") from error

    async def _while_it_works(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of `work`. Raises EngineDead when the engine has made no step for a long time."""
        task = asyncio.ensure_future(work)
        try:
            with self._steps:
                while not (await asyncio.wait({task}, timeout=self._stall / 4))[0]:
                    if self._steps.silent > self._stall:
                        raise EngineDead(
                            f"vLLM's engine made no step for {self._steps.silent:.0f} s although requests wait "
                            "(stall_seconds)"
                        )
            return task.result()
        finally:
            task.cancel()

    def _lora(self, adapter: Path | None) -> Any:
        if adapter is None:
            return None
        if not self._adapters_served:
            raise RequestRefused("this model alias serves no adapters: set adapters = true in its settings")
        if not (adapter / "adapter_config.json").is_file():
            raise EngineError(f"no adapter in {adapter}: was its round's folder moved, or is it on another machine?")
        from vllm.lora.request import LoRARequest

        number = self._adapters.setdefault(adapter, len(self._adapters) + 1)
        return LoRARequest(f"{adapter.parent.name}-{number}", number, str(adapter))


async def _last(outputs: AsyncIterator[Any]) -> Any:
    final = None
    async for output in outputs:
        final = output
    return final


def top_k(chosen: Sequence[int], found: Any) -> TopK | None:
    """vLLM's flat log-probabilities place by place: those asked for, and the chosen token's if it is not among them."""
    if found is None:
        return None
    rows = []
    for start, end in zip(found.start_indices, found.end_indices, strict=True):
        # vLLM writes the chosen token first. It goes last, so that it stands behind the likeliest that it equals.
        places = [*range(start + 1, end), start]
        rows.append({found.token_ids[place]: found.logprobs[place] for place in places})
    return TopK.of(zip(chosen, rows, strict=True))


def hidden_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """The special tokens to take out of a text, where others are thinking marks; None: vLLM can skip all of them."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = set(tokenizer.all_special_tokens) | {token.content for token in added if token.special}
    marks = thinking.control_tokens(special)
    return re.compile("|".join(map(re.escape, sorted(special - marks, key=len, reverse=True)))) if marks else None


def continuation_ids(tokenizer: Any, messages: list[Message], prompt: list[int], continuation: str) -> list[int]:
    """The tokens of `continuation` as they follow the prompt's own (`prompt`, from `tracemill.prompts.token_ids`).

    Tokenised together with the prompt, because some tokenizers put a space before the first word of a text.
    """
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    both = list(tokenizer.encode(text + continuation, add_special_tokens=False))
    if both[: len(prompt)] == prompt:
        return both[len(prompt) :]
    # The continuation's first characters melt into the prompt's last token, which stays as the model reads it.
    return list(tokenizer.encode(continuation, add_special_tokens=False))


def _share_cores() -> None:
    """On a small machine, compute on every core; vLLM would keep one for its front end, here half of all there are.

    Threads that wait must then sleep, not spin: they would hold up the front end that they wait for.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) <= FEW_CORES:
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, cores)))
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _told(error: BaseException) -> str:
    """What is wrong with the settings, in one line: vLLM checks most of them with pydantic."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where + ': ' if where else ''}{first['msg']}"[:500]
    return f"{type(error).__name__}: {error}"[:500]


def _last_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".splitlines()[0]
