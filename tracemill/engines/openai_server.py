"""The way to a server that speaks the OpenAI protocol: connections, pace, attempts, and what its failures mean.

Faults that pass by themselves are met here by asking again, a few times; any other is one EngineError that names the
server. What it sends is hostile input: read through `openai_protocol` and `openai_stream` and nothing else, in bounded
memory. aiohttp because the `openai` client costs ten times its CPU.
"""

import asyncio
import email.utils
import math
import os
import random
import time
from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError

from tracemill.engines.openai_protocol import Answer
from tracemill.engines.openai_stream import DONE, Assembly, Chunk, Events
from tracemill.engines.rate_limit import Pace, Started
from tracemill.errors import EngineAway, EngineDead, EngineError, RequestRefused, UsageError
from tracemill.model_settings import ModelSettings

try:
    import aiohttp
    from yarl import URL
except ImportError:
    raise UsageError("engine 'openai' is not installed. Run: pip install 'tracemill[openai]'") from None

#: How often one request is asked before it counts as failed; its question is then visited again by the feeder.
ATTEMPTS = 5
#: Bounds of the pause before another attempt, in seconds: it doubles from the first to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
#: Seconds after which a request that waits for its turn looks again: others may have used less than expected.
LOOK_AGAIN = 0.25
#: The most bytes of one answer: 8 samples of 16,000 tokens with 20 likely tokens each are less.
LARGEST = 2**28
#: Characters a token in English text, to guess at the length of a prompt.
CHARACTERS = 4


class _Passing(EngineError):
    """A fault that may be gone at the next attempt; `kind` is what it becomes if it is not.

    `busy`: the server has too much to do. `retry_after`: the pause that it asked for, in seconds.
    """

    def __init__(
        self, message: str, kind: type[EngineError] = EngineError, busy: bool = False, retry_after: float = 0.0
    ) -> None:
        super().__init__(message)
        self.kind, self.busy, self.retry_after = kind, busy, retry_after


class Server:
    """One server, asked for one model. Must be used from one event loop."""

    def __init__(self, model: ModelSettings) -> None:
        """Read the address and the key; connects at the first request. Raises UsageError if either cannot be used."""
        self.url = _checked(model)
        self._address = self.url / "chat" / "completions"
        options = model.openai
        self._key = os.environ.get(options.api_key_env, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UsageError(f"the environment variable {options.api_key_env} holds characters that no API key has")
        self._timeout = model.timeout_seconds
        self._pace = Pace(options.requests_per_minute, options.tokens_per_minute)
        self._turn = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, asked: dict[str, Any]) -> tuple[Answer, float]:
        """The answer to a request, and the seconds that its last attempt took. `asked` says whether it is streamed.

        Raises EngineError: RequestRefused, EngineDead or EngineAway if that is what it is.
        """
        attempt = 0
        while True:
            attempt += 1
            started = await self._started(asked)
            try:
                answer = await self._attempt(asked)
            except _Passing as fault:
                end = self._pace.busy if fault.busy else self._pace.failed
                end(time.monotonic(), started, fault.retry_after)
                if attempt == ATTEMPTS:
                    raise fault.kind(f"{fault} ({ATTEMPTS} attempts)") from None
                if not fault.busy:
                    await asyncio.sleep(pause(attempt))
            except EngineError:
                self._pace.failed(time.monotonic(), started)
                raise
            else:
                self._pace.answered(started, answer.counted.prompt_tokens + answer.counted.completion_tokens)
                return answer, time.monotonic() - started.at

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _started(self, asked: dict[str, Any]) -> Started:
        """Wait until the pace lets this request start; first come, first served."""
        prompt = sum(len(message["content"]) for message in asked["messages"]) // CHARACTERS
        async with self._turn:
            while (wait := self._pace.wait(time.monotonic())) > 0:  # noqa: ASYNC110 (mostly it is time that must pass)
                await asyncio.sleep(min(wait, LOOK_AGAIN))
            return self._pace.start(time.monotonic(), prompt + asked.get("n", 1) * asked["max_tokens"])

    async def _attempt(self, asked: dict[str, Any]) -> Answer:
        streamed = bool(asked.get("stream"))
        try:
            async with (
                asyncio.timeout(self._timeout) as patience,
                self._connected().post(self._address, json=asked, allow_redirects=False) as reply,
            ):
                if reply.status == 200 and streamed and reply.content_type == "text/event-stream":
                    return await self._assembled(self._received(reply), asked.get("n", 1), patience)
                body = b"".join([data async for data in self._received(reply)])
        except TimeoutError:
            what = "nothing more" if streamed else "no answer"
            raise EngineError(f"{self.url}: {what} after {self._timeout:g} s (timeout_seconds)") from None
        except aiohttp.ClientError as error:
            raise _Passing(f"{self.url}: {type(error).__name__}: {self._quoted(str(error))}", EngineAway) from None
        if reply.status != 200:
            said = f"{reply.status} {reply.reason or ''}".rstrip()
            wait = retry_after(reply.headers.get("Retry-After", ""))
            if location := reply.headers.get("Location"):
                said += f". Redirects are not followed: {self._quoted(location)}"
            raise self._failure(reply.status, f"{said}: {self._quoted(_text(body))}", wait)
        try:
            return Answer.model_validate_json(body)
        except ValidationError as error:
            raise self._misshapen(error, body) from None

    async def _received(self, reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        size = 0
        async for data in reply.content.iter_any():
            size += len(data)
            if size > LARGEST:
                raise EngineError(f"{self.url}: the answer has more than {LARGEST} bytes")
            yield data

    async def _assembled(self, received: AsyncIterator[bytes], n: int, patience: asyncio.Timeout) -> Answer:
        """The whole of a streamed answer. Each piece renews the patience; what only keeps the line open does not."""
        assembly, events, data = Assembly(n), Events(), b""
        try:
            async for bytes_ in received:
                for data in events.feed(bytes_):
                    if data == DONE:
                        return assembly.answer()
                    chunk = Chunk.model_validate_json(data)
                    if chunk.error is not None:
                        raise self._failure(chunk.status, f"in its stream: {self._quoted(chunk.said)}")
                    assembly.take(chunk)
                    if chunk.choices:
                        patience.reschedule(asyncio.get_running_loop().time() + self._timeout)
            if assembly.complete:
                return assembly.answer()
        except ValidationError as error:
            raise self._misshapen(error, data) from None
        raise _Passing(f"{self.url}: the stream ended before the answer")

    def _failure(self, status: int, said: str, wait: float = 0.0) -> EngineError:
        said = f"{self.url} answered {said}"
        if status in (408, 429) or status >= 500:
            kind = EngineAway if status in (429, 503) else EngineError
            return _Passing(said, kind, status == 429, wait)
        # With a wrong key, address (to which a redirect points as well) or model no question can be answered.
        return (EngineDead if status in (401, 403, 404) or 300 <= status < 400 else RequestRefused)(said)

    def _misshapen(self, error: ValidationError, body: bytes) -> _Passing:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return _Passing(
            f"{self.url}: the answer is not a chat completion ({where + ': ' if where else ''}{first['msg']}): "
            f"{self._quoted(_text(body))}"
        )

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                # How many requests are in flight is the worker's business (generate_concurrency).
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    def _quoted(self, text: str) -> str:
        """The start of what a server said, on one line, without the key, which some servers repeat."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join(text[:1000].split())[:200]


def _text(body: bytes) -> str:
    return body[:4000].decode("utf-8", "replace")


def _checked(model: ModelSettings) -> URL:
    base_url = model.openai.base_url
    if base_url is None:
        raise UsageError(
            f"model {model.model} has engine 'openai' but no base_url. Add the server's address to its settings: "
            'openai.base_url = "http://localhost:8000/v1"'
        )
    try:
        url = URL(base_url.rstrip("/"))
    except ValueError as error:
        raise UsageError(f"model {model.model}: base_url is not an address: {error}") from None
    if url.user is not None or url.password is not None or url.query_string:
        # Not shown: what stands there is nearly always a secret.
        raise UsageError(
            f"model {model.model}: base_url must hold no user, password or query. Put the API key into the environment "
            f"variable {model.openai.api_key_env}."
        )
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(f'model {model.model}: base_url must look like "http://host:port/v1", not "{base_url}"')
    return url


def pause(attempt: int) -> float:
    """Seconds to wait after the given failed attempt (from 1): exponential with full jitter.

    "Full jitter": Brooker 2015, Exponential Backoff And Jitter.
    """
    return random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1)))


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
