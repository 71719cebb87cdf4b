"""Any server that speaks the OpenAI protocol: `vllm serve`, hosted APIs, Ollama, llama.cpp.

How it is reached, and what becomes of its failures, is in `openai_server`; what it may say, in `openai_protocol` and
`openai_stream`. Servers differ in what they tell of probabilities. One that gives none for a choice is found out once
and then not asked again.
"""

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracemill import thinking
from tracemill.engines import AROUND_WORDS, Generation, Sampling, Score, choice_shares
from tracemill.engines.openai_protocol import MOST_LIKELY, completions, score_at_end
from tracemill.engines.openai_server import Server
from tracemill.errors import RequestRefused
from tracemill.model_settings import ModelSettings
from tracemill.prompts import Message

#: What `choose` asks of a server without logprobs: so many answers, of so many tokens.
TEXTS, TEXT = 8, Sampling(temperature=1.0, max_tokens=8)
#: A question that every model can answer, to find out what a server can do; and an answer.
PROBE: list[Message] = [{"role": "user", "content": "What is 2 + 2? Reply with the number only."}]
PROBE_ANSWER = "4"
#: What to do when a server gives no log-probabilities of token ids.
WITHOUT_LOGPROBS = 'Use a server of vLLM\'s or engine = "vllm", or ask for no log-probabilities (logprobs = 0)'


class OpenaiEngine:
    """One model behind one server. Must be used from one event loop."""

    def __init__(self, model: ModelSettings) -> None:
        """Read the address and the key; connects at the first request. Raises UsageError if either cannot be used."""
        self._model = model.model
        self._stream = model.openai.stream
        self._server = Server(model)
        #: What the server can do; null: not known yet.
        self._gives_logprobs: bool | None = None
        self._scores: bool | None = None
        self._probing = asyncio.Lock()

    @property
    def silent(self) -> float:
        return 0.0  # what its server does, only the server knows

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        """Answer `messages` n times, or fewer if the server gives fewer.

        `tokens_in` is the server's `usage` (0 if it sends none), which counts the tokens of all completions together:
        `openai_protocol.completions` says how they are shared. `seconds` is the time of the attempt that was answered.
        A refusal is a completion. Raises EngineError when the server cannot be reached or understood, RequestRefused
        when it will not answer these messages, gives no log-probabilities by token id, or an adapter is asked for.
        """
        self._refuse(adapter)
        asked: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "n": n,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.stop:
            asked["stop"] = list(sampling.stop)
        if self._stream:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        k = sampling.logprobs
        if k:
            # One more than wanted, where the protocol has it: vLLM counts a chosen token that is not likely as one.
            asked |= {"logprobs": True, "top_logprobs": k + 1 if k < MOST_LIKELY else k}
            asked["return_tokens_as_token_ids"] = True
        try:
            answer, seconds = await self._server.ask(asked)
        except RequestRefused as error:
            raise (
                RequestRefused(f"{error}. Was it the log-probabilities? {WITHOUT_LOGPROBS}") if k else error
            ) from None
        try:
            found = completions(answer, k)
        except LookupError as error:
            raise RequestRefused(f"{self._server.url} {error}. {WITHOUT_LOGPROBS}") from None
        return Generation(tuple(found[:n]), answer.counted.prompt_tokens, seconds)

    async def choose(self, messages: list[Message], choices: Sequence[str]) -> dict[str, float] | None:
        """The probability of each choice as the first word; null if none is likely. Raises what `generate` raises.

        A server that gives no logprobs, or refuses to be asked for them, writes a few short answers instead, and a
        choice's share is that of the answers whose first word it is.
        """
        if self._gives_logprobs is not False:
            try:
                answer, _ = await self._server.ask(
                    self._short(messages) | {"logprobs": True, "top_logprobs": MOST_LIKELY, "temperature": 0}
                )
            except RequestRefused:
                if self._gives_logprobs:
                    raise  # the messages are at fault; otherwise it is they or the logprobs, and asking for text tells
            else:
                logprobs = answer.choices[0].logprobs
                if logprobs and logprobs.content:
                    self._gives_logprobs = True
                    likeliest = logprobs.content[0].top_logprobs
                    return choice_shares([(e.token, math.exp(min(e.logprob, 0.0))) for e in likeliest], choices)
        generation = await self.generate(messages, TEXTS, TEXT)
        if self._gives_logprobs is None:
            self._gives_logprobs = False
        words = [first_word(completion.text) for completion in generation.completions]
        return choice_shares([(word, 1 / len(words)) for word in words], choices)

    async def score(self, messages: list[Message], continuation: str, adapter: Path | None = None) -> Score | None:
        """How likely the answer begins with `continuation`; null from a server that does not score, as most.

        vLLM's own server scores a prompt (`prompt_logprobs`) that ends in an unfinished answer
        (`continue_final_message`). Whether this one does is found out once, with a question that no server can find
        fault with. It computes the whole prompt at each request: its prefix cache has no logprobs. Null also when the
        server's tokens do not spell the continuation. Raises what `generate` raises.
        """
        self._refuse(adapter)
        async with self._probing:
            if self._scores is None:
                self._scores = await self._can_score()
        return await self._score(messages, continuation) if self._scores else None

    async def _can_score(self) -> bool:
        try:
            return await self._score(PROBE, PROBE_ANSWER) is not None
        except RequestRefused:
            return False

    async def _score(self, messages: list[Message], continuation: str) -> Score | None:
        said: Message = {"role": "assistant", "content": continuation}
        answer, _ = await self._server.ask(
            self._short([*messages, said])
            | {"prompt_logprobs": 0, "continue_final_message": True, "add_generation_prompt": False}
        )
        return None if answer.prompt_logprobs is None else score_at_end(answer.prompt_logprobs, continuation)

    def _short(self, messages: list[Message]) -> dict[str, Any]:
        return {"model": self._model, "messages": messages, "max_tokens": 1}

    def _refuse(self, adapter: Path | None) -> None:
        if adapter is not None:
            raise RequestRefused(
                f"{self._server.url}: an OpenAI-compatible server serves an adapter under its own model name; engine "
                "'openai' cannot load one. Use engine = \"vllm\", or an alias whose model is the name on the server."
            )

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()


def first_word(text: str) -> str:
    """The first word that is said, after any thoughts and without the punctuation around it; empty if there is none."""
    words = thinking.split(text).answer.lstrip(AROUND_WORDS).split(maxsplit=1)
    return words[0] if words else ""
