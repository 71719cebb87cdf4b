"""Requests to an OpenAI-compatible server: connections, rate limits, retries and errors.

Temporary faults are retried a few times. Any other fault is one EngineError that names the server. The server's answers
are hostile input: only `openai_protocol` and `openai_stream` read them, in bounded memory. This module uses aiohttp,
because the `openai` client needs ten times its CPU.
"""

import asyncio
import email.utils
import math
import random
import time
from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError

from tracemill.engines.api_key import api_key, is_named
from tracemill.engines.openai_errors import error_status, error_text, event_error
from tracemill.engines.openai_protocol import Answer, Models
from tracemill.engines.openai_stream import DONE, Assembly, Chunk, Event, Events
from tracemill.engines.rate_limit import Pace, Started
from tracemill.errors import AliasRefused, EngineAway, EngineError, RequestRefused, UsageError
from tracemill.model_settings import ModelSettings

try:
    import aiohttp
    from yarl import URL
except ImportError:
    raise UsageError("engine 'openai' is not installed. Run: pip install 'tracemill[openai]'") from None

#: Attempts of one request. After the last one its question fails this visit, and the feeder queues it again.
ATTEMPTS = 5
#: Bounds of the pause before another attempt, in seconds: it doubles from the first to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
#: Longest wait before the rate limit is checked again, in seconds. Other requests may have used less than expected.
RECHECK_SECONDS = 0.25
#: Largest size of an answer in bytes, whatever the request. It is unpacked, so a small answer may become large.
MAX_BYTES = 2**28
#: Size of an answer without its tokens, of a token as an event of a stream, and of a token with its log-probability.
FRAME_BYTES, TOKEN_BYTES, LIKELY_BYTES = 2**20, 1024, 256
#: Size of a server's list of models, in bytes.
LIST_BYTES = 2**24
#: Tokens of the longest answer to a request without a limit.
MAX_TOKENS = 2**17
#: Longest wait for the list of models, in seconds.
LIST_SECONDS = 3.0
#: Tokens that an answer without a limit is first expected to have. The rate limit learns the real number.
UNLIMITED = 4096
#: Characters a token in English text, to estimate the length of a prompt.
CHARACTERS = 4


class _TemporaryError(EngineError):
    """A fault that may be over at the next attempt; after the last attempt it is raised as `kind`.

    `needs_probe`: as in the final error. `busy`: the server answered 429. `retry_after`: the pause that the server
    requests, in seconds.
    """

    def __init__(
        self,
        message: str,
        kind: type[EngineError] = EngineError,
        needs_probe: bool = True,
        busy: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.kind, self.needs_probe, self.busy, self.retry_after = kind, needs_probe, busy, retry_after

    def final(self) -> EngineError:
        """The error after the last attempt."""
        error = self.kind(f"{self} ({ATTEMPTS} attempts)")
        error.needs_probe = self.needs_probe
        return error


class Server:
    """One model on one server. Use it from one event loop."""

    def __init__(self, model: ModelSettings) -> None:
        """Read the address and the key. Raises UsageError if one of them is unusable. Connects at the first request."""
        self.url = _checked(model)
        self._address = self.url / "chat" / "completions"
        options = model.openai
        #: Empty if the settings name no variable for this server.
        self._key_name = options.api_key_env if is_named(model) else ""
        self._key = api_key(model)
        if not (self._key.isascii() and self._key.isprintable()):
            raise UsageError(f"the environment variable {options.api_key_env} holds characters that no API key has")
        self._model = model.model
        self._timeout = model.timeout_seconds
        self._pace = Pace(options.requests_per_minute, options.tokens_per_minute)
        self._turn = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, request: dict[str, Any]) -> tuple[Answer, float]:
        """The answer to a request, and the duration of its last attempt in seconds.

        Raises EngineError, or its subclass for a refused request, a dead engine or an unreachable server.
        """
        attempt = 0
        while True:
            attempt += 1
            started = await self._started(request)
            try:
                answer = await self._attempt(request)
            except _TemporaryError as fault:
                end = self._pace.busy if fault.busy else self._pace.failed
                end(time.monotonic(), started, fault.retry_after)
                if attempt == ATTEMPTS:
                    raise fault.final() from None
                if not fault.busy:
                    await asyncio.sleep(pause(attempt))
            except EngineError:
                self._pace.failed(time.monotonic(), started)
                raise
            else:
                self._pace.answered(started, answer.token_usage.prompt_tokens + answer.token_usage.completion_tokens)
                return answer, time.monotonic() - started.at

    async def max_model_len(self) -> int | None:
        """The longest prompt and answer of the model, in tokens, if the server's list of models tells it soon."""
        try:
            async with (
                asyncio.timeout(LIST_SECONDS),
                self._connected().get(self.url / "models", allow_redirects=False) as reply,
            ):
                listed = Models.model_validate_json(
                    b"".join([data async for data in self._received(reply, LIST_BYTES)])
                )
        except (TimeoutError, aiohttp.ClientError, ValidationError, EngineError):
            return None
        return next((model.max_model_len for model in listed.data if model.id == self._model), None)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _started(self, request: dict[str, Any]) -> Started:
        """Wait until the rate limit allows this request. Requests start in the order of their calls."""
        prompt = sum(len(message["content"]) for message in request["messages"]) // CHARACTERS
        async with self._turn:
            while (wait := self._pace.wait(time.monotonic())) > 0:  # noqa: ASYNC110 (no event ends this wait)
                await asyncio.sleep(min(wait, RECHECK_SECONDS))
            limit = request.get("max_tokens") or request.get("max_completion_tokens") or UNLIMITED
            return self._pace.start(time.monotonic(), prompt + request.get("n", 1) * limit)

    async def _attempt(self, request: dict[str, Any]) -> Answer:
        streamed = bool(request.get("stream"))
        try:
            async with (
                asyncio.timeout(self._timeout) as deadline,
                self._connected().post(self._address, json=request, allow_redirects=False) as reply,
            ):
                if reply.status == 200 and streamed and reply.content_type != "application/json":
                    received = self._received(reply, longest_answer(request))
                    return await self._assembled(received, request.get("n", 1), deadline)
                body = b"".join([data async for data in self._received(reply, longest_answer(request))])
        except TimeoutError:
            what = "nothing more" if streamed else "no answer"
            raise EngineError(f"{self.url}: {what} after {self._timeout:g} s (timeout_seconds)") from None
        except aiohttp.ClientError as error:
            reason = f"{type(error).__name__}: {self._quoted(str(error))}"
            # A request that ends its connection may be the cause, but not one that never had a connection.
            had_connection = not isinstance(error, aiohttp.ClientConnectorError)
            message = f"no answer from base_url {self.url}: {reason}"
            raise _TemporaryError(message, EngineAway, needs_probe=had_connection) from None
        if reply.status != 200:
            status = f"{reply.status} {reply.reason or ''}".rstrip()
            wait = retry_after(reply.headers.get("Retry-After", ""))
            if location := reply.headers.get("Location"):
                status += f". Redirects are not followed: {self._quoted(location)}"
            raise self._failure(reply.status, f"{status}: {self._quoted(_text(body))}", wait)
        try:
            return self._usable(Answer.model_validate_json(body))
        except ValidationError as error:
            raise self._misshapen(error, body) from None

    def _usable(self, answer: Answer) -> Answer:
        """The answer without the samples that the server broke off. Raises the error of their cause if none is left."""
        if answer.error:
            raise self._failure(error_status(answer.error), f"with an error: {self._quoted(error_text(answer.error))}")
        usable = [choice for choice in answer.choices if not choice.has_failed]
        if not usable:
            first = answer.choices[0]
            reason = error_text(first.error or {"finish_reason": first.finish_reason})
            raise self._failure(error_status(first.error), f"with a broken-off sample: {self._quoted(reason)}")
        return answer.model_copy(update={"choices": usable})

    async def _received(self, reply: aiohttp.ClientResponse, max_bytes: int) -> AsyncIterator[bytes]:
        size = 0
        async for data in reply.content.iter_any():
            size += len(data)
            if size > max_bytes:
                raise EngineError(f"{self.url}: the answer has more than {max_bytes} bytes, too many for the request")
            yield data

    async def _assembled(self, received: AsyncIterator[bytes], n: int, deadline: asyncio.Timeout) -> Answer:
        """The complete streamed answer. Each piece of it moves `deadline`; keepalive and empty messages do not."""
        assembly, events, data = Assembly(n), Events(), b""
        try:
            async for bytes_ in received:
                for event in events.feed(bytes_):
                    data = event.data
                    if data.strip() == DONE:
                        return self._usable(assembly.answer())
                    if self._take(event, assembly):
                        deadline.reschedule(asyncio.get_running_loop().time() + self._timeout)
            for event in () if assembly.complete else events.end():
                data = event.data
                if data.strip() != DONE:
                    self._take(event, assembly)
            if assembly.complete:
                return self._usable(assembly.answer())
        except ValidationError as error:
            raise self._misshapen(error, data) from None
        raise _TemporaryError(f"{self.url}: the stream ended before the answer")

    def _take(self, event: Event, assembly: Assembly) -> bool:
        """Add an event to the samples, and return whether they have grown. Raises the error that it reports."""
        chunk = Chunk(error=event_error(event.data)) if event.is_error else Chunk.model_validate_json(event.data)
        if chunk.error is not None:
            raise self._failure(error_status(chunk.error), f"in its stream: {self._quoted(error_text(chunk.error))}")
        return assembly.take(chunk)

    def _failure(self, status: int | None, reply: str, wait: float = 0.0) -> EngineError:
        message = f"{self._cause(status)}{self.url} answered {reply}"
        if status is None or status == 408:
            return _TemporaryError(message, retry_after=wait)
        if status == 402:  # the balance is spent: no question is at fault, and the next one would be refused too
            return EngineAway(message)
        if status in (409, 429) or status >= 500:  # 409: some servers load the model meanwhile
            is_overloaded = status in (409, 429, 503, 529)
            return _TemporaryError(message, EngineAway, not is_overloaded, status == 429, wait)
        # The key, the address (also in case of a redirect) or the model is wrong, so no request can succeed.
        return (AliasRefused if status in (401, 403, 404) or 300 <= status < 400 else RequestRefused)(message)

    def _cause(self, status: int | None) -> str:
        """The setting that is probably wrong, for the start of a message."""
        if status is None:
            return ""
        if status in (401, 403):
            if self._key:
                return f"the key in {self._key_name} is refused: "
            return f"no key in {self._key_name}: " if self._key_name else "no key, set openai.api_key_env: "
        return "wrong base_url or model: " if status == 404 or 300 <= status < 400 else ""

    def _misshapen(self, error: ValidationError, body: bytes) -> _TemporaryError:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return _TemporaryError(
            f"{self.url}: the answer is not a chat completion ({where + ': ' if where else ''}{first['msg']}): "
            f"{self._quoted(_text(body))}"
        )

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                # No limit here: `generate_concurrency` limits the requests in flight.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    def _quoted(self, text: str) -> str:
        """The start of a server's text, on one line, without the key, which some servers repeat."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join(text[:1000].split())[:200]


def longest_answer(request: dict[str, Any]) -> int:
    """The largest plausible size of the answer to a request, in bytes."""
    tokens = request.get("n", 1) * (request.get("max_tokens") or request.get("max_completion_tokens") or MAX_TOKENS)
    prompt = sum(len(message["content"]) for message in request["messages"]) if "prompt_logprobs" in request else 0
    likely = tokens * request.get("top_logprobs", 0) + prompt
    return int(min(MAX_BYTES, FRAME_BYTES + TOKEN_BYTES * tokens + LIKELY_BYTES * likely))


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
        # The message does not show them, because they are nearly always secrets.
        raise UsageError(
            f"model {model.model}: base_url must hold no user, password or query. Put the API key into the environment "
            f"variable {model.openai.api_key_env}."
        )
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(f'model {model.model}: base_url must look like "http://host:port/v1", not "{base_url}"')
    return url


def pause(attempt: int) -> float:
    """Seconds to wait after a failed attempt (from 1): exponential back-off with full jitter.

    "Full jitter": Brooker 2015, Exponential Backoff And Jitter.
    """
    return random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1)))


def retry_after(header: str) -> float:
    """The Retry-After header (RFC 9110, 10.2.3: seconds or a date) in seconds; 0 if missing or unreadable."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
