"""Engine for any server with the OpenAI protocol: `vllm serve`, hosted APIs, Ollama, llama.cpp.

`openai_server` holds connections and errors, `openai_protocol` and `openai_stream` hold the messages. Not every server
gives log-probabilities. The engine notices this at the first request and does not request them again.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from tracemill import thinking
from tracemill.engines import AROUND_WORDS, NO_SAMPLING, PROBE, Generation, Sampling, Score, Written, choice_shares
from tracemill.engines.dialect import Dialect
from tracemill.engines.openai_protocol import MAX_TOP_LOGPROBS, Answer, completions, score_at_end
from tracemill.engines.openai_server import Server
from tracemill.engines.usage import count
from tracemill.errors import EngineError, RequestRefused
from tracemill.logprobs import TopK
from tracemill.model_settings import ModelSettings
from tracemill.prompts import Message

#: Samples that one process requests at a time by default. Rate limits of the server lower their number.
SERVER_SEQUENCES = 256
#: Number and sampling of the short answers that `choose` requests from a server without logprobs.
TEXTS, TEXT = 8, Sampling(temperature=1.0, max_tokens=8)
#: The answer to `PROBE`. It shows whether a server can score.
PROBE_ANSWER = "4"
#: Advice for a server without log-probabilities of token ids.
WITHOUT_LOGPROBS = 'Use vLLM\'s server or engine = "vllm", or request no log-probabilities (logprobs = 0)'


class OpenaiEngine:
    """One model on one server. Use it from one event loop."""

    def __init__(self, model: ModelSettings) -> None:
        """Read the address and the key. Raises UsageError if one of them is unusable. Connects at the first request."""
        self._model = model.model
        self._stream = model.openai.stream
        self._server = Server(model)
        #: The server's abilities; None means not known yet.
        self._gives_logprobs: bool | None = None
        self._scores: bool | None = None
        self._dialect = Dialect()
        self._probing = asyncio.Lock()

    @property
    def stalled_seconds(self) -> float:
        return 0.0  # a client does not see the steps of its server

    @property
    def max_sequences(self) -> int:
        return SERVER_SEQUENCES

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        """Answer `messages` n times, or fewer if the server gives fewer.

        `tokens_in` comes from the server's `usage` (0 without one). That also counts the tokens of all completions
        together, which `openai_protocol.completions` divides among them. `seconds` is the time of the successful
        attempt. A refusal by the model is a completion.

        Raises EngineError if the server cannot be reached or its answer cannot be read. Raises RequestRefused if the
        server refuses the messages, gives no log-probabilities by token id, or should load an adapter.
        """
        self._refuse(adapter)
        request = {**options(sampling), "model": self._model, "messages": messages, "n": n, **values(sampling)}
        if self._stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        k = sampling.logprobs
        if k:
            # One more than needed, if the protocol allows it: vLLM counts an unlikely chosen token among these.
            request |= {"logprobs": True, "top_logprobs": k + 1 if k < MAX_TOP_LOGPROBS else k}
            request["return_tokens_as_token_ids"] = True
        try:
            answer, seconds = await self._ask_all(request, n)
        except RequestRefused as error:
            raise (
                RequestRefused(f"{error}. Were the log-probabilities the reason? {WITHOUT_LOGPROBS}") if k else error
            ) from None
        try:
            samples = completions(answer, k)
        except LookupError as error:
            raise RequestRefused(f"{self._server.url} {error}. {WITHOUT_LOGPROBS}") from None
        return Generation(tuple(samples[:n]), answer.token_usage.prompt_tokens, seconds)

    async def choose(
        self, messages: list[Message], choices: Sequence[str], sampling: Sampling = NO_SAMPLING
    ) -> dict[str, float] | None:
        """The probability of each choice as the first word; None if no choice is likely.

        A server without logprobs writes a few short answers instead. Then a choice's probability is the share of
        answers that begin with it. Raises the errors of `generate`.
        """
        if self._gives_logprobs is not False:
            try:
                answer, _ = await self._ask(
                    self._short(messages, sampling)
                    | {"logprobs": True, "top_logprobs": MAX_TOP_LOGPROBS, "temperature": 0}
                )
            except RequestRefused:
                if self._gives_logprobs:
                    raise  # the messages are the cause; otherwise the next request shows whether the logprobs are
            else:
                logprobs = answer.choices[0].logprobs
                if logprobs and logprobs.content and (likeliest := logprobs.content[0].likeliest):
                    self._gives_logprobs = True
                    return choice_shares([(e.token, math.exp(min(e.logprob, 0.0))) for e in likeliest], choices)
        text = replace(TEXT, chat_template_kwargs=sampling.chat_template_kwargs, extra_body=sampling.extra_body)
        generation = await self.generate(messages, TEXTS, text)
        if self._gives_logprobs is None:
            self._gives_logprobs = False
        words = [first_word(completion.text) for completion in generation.completions]
        return choice_shares([(word, 1 / len(words)) for word in words], choices)

    async def score(
        self,
        messages: list[Message],
        continuation: str,
        adapter: Path | None = None,
        sampling: Sampling = NO_SAMPLING,
    ) -> Score | None:
        """The probability that the answer begins with `continuation`; None if the server cannot score.

        Most servers cannot. vLLM's server scores a prompt (`prompt_logprobs`) that ends in an unfinished answer
        (`continue_final_message`). The first call tests the server with a simple question. vLLM computes the whole
        prompt at each request, because its prefix cache has no logprobs. The result is also None if the server's tokens
        do not spell the continuation. Raises the errors of `generate`.
        """
        self._refuse(adapter)
        async with self._probing:
            if self._scores is None:
                self._scores = await self._can_score(sampling)
        return await self._score(messages, continuation, sampling) if self._scores else None

    async def _can_score(self, sampling: Sampling) -> bool:
        try:
            return await self._score(PROBE, PROBE_ANSWER, sampling) is not None
        except RequestRefused:
            return False

    async def _score(self, messages: list[Message], continuation: str, sampling: Sampling) -> Score | None:
        beginning: Message = {"role": "assistant", "content": continuation}
        answer, _ = await self._ask(
            self._short([*messages, beginning], sampling)
            | {"prompt_logprobs": 0, "continue_final_message": True, "add_generation_prompt": False}
        )
        return None if answer.prompt_logprobs is None else score_at_end(answer.prompt_logprobs, continuation)

    def _short(self, messages: list[Message], sampling: Sampling) -> dict[str, Any]:
        return {**options(sampling), "model": self._model, "messages": messages, "max_tokens": 1}

    async def _ask_all(self, request: dict[str, Any], n: int) -> tuple[Answer, float]:
        """The answer to a request for n samples, joined from several answers if the server gives one sample each.

        If some of the requests fail, the samples of the others are kept.
        """
        replies: list[tuple[Answer, float] | BaseException] = []
        if not self._dialect.is_single:
            replies.append(first := await self._ask(request))
            n -= len(first[0].choices)
        if self._dialect.is_single:
            replies += await asyncio.gather(*(self._ask(request) for _ in range(n)), return_exceptions=True)
        answered = [reply for reply in replies if not isinstance(reply, BaseException)]
        for failure in (reply for reply in replies if isinstance(reply, BaseException)):
            if not answered or not isinstance(failure, EngineError):
                raise failure
        return reduce(Answer.joined, (answer for answer, _ in answered)), max(seconds for _, seconds in answered)

    async def _ask(self, request: dict[str, Any]) -> tuple[Answer, float]:
        """The answer to a request. A parameter that the server refuses is adapted, and the request is sent again."""
        answer, seconds = await self._ask_adapted(request)
        count(answer.token_usage.prompt_tokens, answer.token_usage.completion_tokens)
        return answer, seconds

    async def _ask_adapted(self, request: dict[str, Any]) -> tuple[Answer, float]:
        while True:
            adapted = self._dialect.adapted(request)
            try:
                return await self._server.ask(adapted)
            except RequestRefused as error:
                if not self._dialect.learn(str(error), adapted):
                    raise

    def _refuse(self, adapter: Path | None) -> None:
        if adapter is not None:
            raise RequestRefused(
                f"{self._server.url}: an OpenAI-compatible server serves an adapter under its own model name; engine "
                "'openai' cannot load one. Use engine = \"vllm\", or an alias whose model is the name on the server."
            )

    async def score_tokens(self, messages: list[Message], answer: Sequence[int] | Written, sampling: Sampling) -> TopK:
        """Raises RequestRefused: the protocol has no request for the probabilities of given tokens after a chat."""
        raise RequestRefused(f'{self._server.url} cannot score the tokens of another model. Use engine = "vllm"')

    async def sleep(self) -> None:
        """Do nothing: the model uses no memory of this machine."""

    async def wake(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()


def options(sampling: Sampling) -> dict[str, Any]:
    """The further keys of a request, and the variables of the chat template."""
    variables = {"chat_template_kwargs": dict(sampling.chat_template_kwargs)} if sampling.chat_template_kwargs else {}
    return {**sampling.extra_body, **variables}


def values(sampling: Sampling) -> dict[str, Any]:
    """The sampling values that are set. vLLM's server knows all of them, others the first five and `stop`."""
    names = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "thinking_token_budget": sampling.thinking_tokens,
        "stop": list(sampling.stop) or None,
    }
    return {name: value for name, value in names.items() if value is not None}


def first_word(text: str) -> str:
    """The first word after any thoughts, without the punctuation around it; empty if there is none."""
    words = thinking.split(text).answer.lstrip(AROUND_WORDS).split(maxsplit=1)
    return words[0] if words else ""
