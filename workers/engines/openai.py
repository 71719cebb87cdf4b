"""Any server that speaks the OpenAI protocol, over aiohttp: `vllm serve`, hosted APIs, Ollama, llama.cpp.

Faults that pass by themselves are met here by asking again, a few times; any other is one EngineError that names the
server. What the server sends is hostile input: it is read through `openai_protocol` and nothing else.

Servers differ in what they tell of probabilities. One that gives none is found out once and then not asked again.
aiohttp because the `openai` client costs ten times its CPU.
"""

import asyncio
import email.utils
import math
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tracemill.errors import EngineAway, EngineDead, EngineError, RequestRefused, UsageError
from tracemill.prompts import Message
from tracemill.settings import ModelSettings
from workers.engines import AROUND_WORDS, Completion, Generation, Sampling, Score, choice_shares
from workers.engines.openai_protocol import Answer, Usage, score_at_end, token_shares

try:
    import aiohttp
    from yarl import URL
except ImportError:
    raise UsageError("engine 'openai' is not installed. Run: pip install 'tracemill[openai]'") from None

#: How often one request is asked before it counts as failed; its question is then visited again by the feeder.
ATTEMPTS = 5
#: Bounds of the pause before another attempt, in seconds: it doubles from the first to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
#: The longest that a server may tell us to wait (Retry-After), in seconds.
LONGEST_RETRY_AFTER = 60.0
#: How many of the likeliest first tokens `choose` looks at; the protocol gives no more.
LIKELIEST = 20
#: What `choose` asks of a server without logprobs: so many answers, of so many tokens.
TEXTS, TEXT = 8, Sampling(temperature=1.0, max_tokens=8)
#: A question that every model can answer, to find out what a server can do; and an answer.
PROBE: list[Message] = [{"role": "user", "content": "What is 2 + 2? Reply with the number only."}]
PROBE_ANSWER = "4"


class _Passing(EngineError):
    """A fault that may be gone at the next attempt; `kind` is what it becomes if it is not.

    `retry_after`: what the server asked for, in seconds.
    """

    def __init__(self, message: str, kind: type[EngineError] = EngineError, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after


class OpenaiEngine:
    """One model behind one server. Must be used from one event loop."""

    def __init__(self, model: ModelSettings) -> None:
        """Read the address and the key; connects at the first request. Raises UsageError if either cannot be used."""
        self._model = model.model
        self._url = _checked(model)
        self._address = self._url / "chat" / "completions"
        self._key = os.environ.get(model.api_key_env, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UsageError(f"the environment variable {model.api_key_env} holds characters that no API key has")
        self._timeout = model.timeout_seconds
        self._session: aiohttp.ClientSession | None = None
        #: What the server can do; null: not known yet.
        self._gives_logprobs: bool | None = None
        self._scores: bool | None = None
        self._probing = asyncio.Lock()

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        """Answer `messages` n times, or fewer if the server gives fewer.

        `tokens_in` is the server's `usage`. Servers count the tokens of all choices together, so each completion's
        `tokens` is its share by text length; the shares add up to the server's count (0 if it sends none). `seconds` is
        the time of the attempt that was answered. Raises EngineError when the server cannot be reached or understood,
        RequestRefused when it will not answer these messages or an adapter is asked for.
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
        answer, seconds = await self._ask(asked)
        usage = answer.usage or Usage()
        texts = [choice.message.text for choice in answer.choices]
        completions = [
            Completion(text, tokens, choice.finish_reason)
            for text, tokens, choice in zip(
                texts, token_shares(usage.completion_tokens, texts), answer.choices, strict=True
            )
        ]
        return Generation(tuple(completions[:n]), usage.prompt_tokens, seconds)

    async def choose(self, messages: list[Message], choices: Sequence[str]) -> dict[str, float] | None:
        """The probability of each choice as the first word; null if none is likely. Raises what `generate` raises.

        A server that gives no logprobs, or refuses to be asked for them, writes a few short answers instead, and a
        choice's share is that of the answers whose first word it is.
        """
        if self._gives_logprobs is not False:
            try:
                answer, _ = await self._ask(
                    self._short(messages) | {"logprobs": True, "top_logprobs": LIKELIEST, "temperature": 0}
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
        answer, _ = await self._ask(
            self._short([*messages, said])
            | {"prompt_logprobs": 0, "continue_final_message": True, "add_generation_prompt": False}
        )
        return None if answer.prompt_logprobs is None else score_at_end(answer.prompt_logprobs, continuation)

    def _short(self, messages: list[Message]) -> dict[str, Any]:
        return {"model": self._model, "messages": messages, "max_tokens": 1}

    def _refuse(self, adapter: Path | None) -> None:
        if adapter is not None:
            raise RequestRefused(
                f"{self._url}: an OpenAI-compatible server serves an adapter under its own model name; engine 'openai' "
                'cannot load one. Use engine = "vllm", or an alias whose model is the name on the server.'
            )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, asked: dict[str, Any]) -> tuple[Answer, float]:
        attempt = 0
        while True:
            attempt += 1
            started = time.monotonic()
            try:
                return await self._attempt(asked), time.monotonic() - started
            except _Passing as fault:
                if attempt == ATTEMPTS:
                    raise fault.kind(f"{fault} ({ATTEMPTS} attempts)") from None
                wait = pause(attempt, fault.retry_after)
            await asyncio.sleep(wait)

    async def _attempt(self, asked: dict[str, Any]) -> Answer:
        try:
            async with self._connected().post(self._address, json=asked, allow_redirects=False) as reply:
                body = await reply.read()
        except TimeoutError:
            raise EngineError(f"{self._url}: no answer after {self._timeout:g} s (timeout_seconds)") from None
        except aiohttp.ClientError as error:
            raise _Passing(f"{self._url}: {type(error).__name__}: {self._quoted(str(error))}", EngineAway) from None
        if reply.status != 200:
            said = f"{self._url} answered {reply.status} {reply.reason or ''}".rstrip()
            said += f": {self._quoted(body.decode('utf-8', 'replace'))}"
            if reply.status in (408, 429) or reply.status >= 500:
                kind = EngineAway if reply.status in (429, 503) else EngineError
                raise _Passing(said, kind, retry_after(reply.headers.get("Retry-After", "")))
            if reply.status in (401, 403, 404):  # the key, the address or the model is wrong, for every question alike
                raise EngineDead(said)
            raise RequestRefused(said)
        try:
            return Answer.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise _Passing(
                f"{self._url}: the answer is not a chat completion ({where + ': ' if where else ''}{first['msg']}): "
                f"{self._quoted(body.decode('utf-8', 'replace'))}"
            ) from None

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                # How many requests are in flight is the worker's business (generate_concurrency).
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                timeout=aiohttp.ClientTimeout(total=self._timeout),
            )
        return self._session

    def _quoted(self, text: str) -> str:
        """The start of what a server said, on one line, without the key, which some servers repeat."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join(text[:1000].split())[:200]


def _checked(model: ModelSettings) -> URL:
    if model.base_url is None:
        raise UsageError(
            f"model {model.model} has engine 'openai' but no base_url. Add the server's address to its settings: "
            'base_url = "http://localhost:8000/v1"'
        )
    try:
        url = URL(model.base_url.rstrip("/"))
    except ValueError as error:
        raise UsageError(f"model {model.model}: base_url is not an address: {error}") from None
    if url.user is not None or url.password is not None or url.query_string:
        # Not shown: what stands there is nearly always a secret.
        raise UsageError(
            f"model {model.model}: base_url must hold no user, password or query. Put the API key into the environment "
            f"variable {model.api_key_env}."
        )
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(f'model {model.model}: base_url must look like "http://host:port/v1", not "{model.base_url}"')
    return url


def first_word(text: str) -> str:
    """The first word that is said, after any thoughts and without the punctuation around it; empty if there is none."""
    words = text.rpartition("</think>")[2].lstrip(AROUND_WORDS).split(maxsplit=1)
    return words[0] if words else ""


def pause(attempt: int, retry_after: float) -> float:
    """Seconds to wait after the given failed attempt (from 1): exponential with full jitter, after what was asked for.

    "Full jitter": Brooker 2015, Exponential Backoff And Jitter.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1))
    return min(retry_after, LONGEST_RETRY_AFTER) + random.uniform(0, longest)


def retry_after(header: str) -> float:
    """The Retry-After header (RFC 9110, 10.2.3: seconds or a date) in seconds from now; 0 if absent or unreadable."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
