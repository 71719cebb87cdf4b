"""A scripted server with the OpenAI protocol, in place of a GPU. It is no model.

Tests of the queue and benchmarks of overhead need a server with known answers, latency and faults. This one answers
each question by a function and counts words as tokens. A measurement with it is no measurement of a model.

    with ScriptedServer(lambda question: "1 + 1 = 2. The answer is 2.", latency=0.1, faults=[Fault.BUSY]) as server:
        ask(server.base_url)

    python -m tests.scripted_server --port 8001 --latency 1
"""

import argparse
import asyncio
import itertools
import json
import re
import threading
import zlib
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from enum import StrEnum
from typing import Any, Self

from aiohttp import web

SCORED_WORD = re.compile(r"\s*\S+")
ANSWER = "First 1 + 1 = 2, and 2 + 2 = 4. The answer is 4."


class Fault(StrEnum):
    """Faults that a request can meet instead of an answer."""

    #: 429, "come back in one second".
    BUSY = "busy"
    #: 500.
    BROKEN = "broken"
    #: 502, as from a proxy without its server.
    BAD_GATEWAY = "bad_gateway"
    #: 400: the prompt is too long.
    REFUSED = "refused"
    #: 401 with the caller's key in the message, as some servers do.
    UNAUTHORIZED = "unauthorized"
    #: 200 with half a JSON object.
    MALFORMED = "malformed"
    #: 200 whose connection ends in the middle of the body, or of a streamed answer.
    CUT_OFF = "cut_off"
    #: A stream that ends normally in the middle of the answer.
    ENDS_EARLY = "ends_early"
    #: A stream that sends only comments after the middle of the answer and keeps the connection open.
    FALLS_SILENT = "falls_silent"
    #: The connection ends before any answer.
    RESET = "reset"
    #: 200 with no choices.
    NO_CHOICES = "no_choices"
    #: 200 with one choice fewer than requested.
    FEWER = "fewer"
    #: No answer for an hour.
    HANGS = "hangs"


class ScriptedServer:
    """A server on 127.0.0.1 that runs in a thread until the end of the `with` block.

    `answer`: the question (the last message's text) -> one text, or several for the samples in turn. Temperature 0
    always gets the first. `first_words`: the log-probability of each first word, for requests with logprobs; fixed, or
    by question. `score`: (question, text) -> the log-probability that the answer begins with the text, for requests
    that score a prompt as vLLM does. By default the words of its answer are likely. `word_seconds`: seconds between two
    words of a streamed answer; samples alternate. `ignores`: request parameters without effect. `refuses`: request
    parameters that are an error. `faults`: one fault for each of the first requests; all later requests are answered.
    `latency`: seconds before an answer. `max_model_len`: the longest prompt and answer, in tokens, of the model
    "scripted" in the server's list of models; without it there is no list.
    """

    def __init__(
        self,
        answer: Callable[[str], str | list[str]] = lambda _: ANSWER,
        *,
        first_words: Mapping[str, float] | Callable[[str], Mapping[str, float]] | None = None,
        score: Callable[[str, str], float] | None = None,
        ignores: Container[str] = (),
        refuses: Container[str] = (),
        refusal: str = "",
        latency: float = 0.0,
        word_seconds: float = 0.0,
        faults: Iterable[Fault | str | bytes | tuple[int, dict[str, str]]] = (),
        port: int = 0,
        max_model_len: int | None = None,
    ) -> None:
        self.answer = answer
        self.first_words = first_words or {"Yes": -0.5, " no": -1.5, "Maybe": -3.0}
        self.score = score or self._likely_if_in_answer
        self.ignores, self.refuses, self.refusal = ignores, refuses, refusal
        self.latency, self.word_seconds = latency, word_seconds
        #: Each is a fault, the body of the answer, or the status and headers of an error.
        self.faults = iter(faults)
        self.port = port
        self.max_model_len = max_model_len
        #: The last requests: headers and body.
        self.requests: deque[tuple[Mapping[str, str], dict[str, Any]]] = deque(maxlen=1000)
        self._turn = itertools.count()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise OSError(f"no scripted server on port {self.port}")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._handle)
        app.router.add_get("/v1/models", self._list_models)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, backlog=4096).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        try:
            await self._stopped.wait()
        finally:
            await runner.cleanup()

    async def _list_models(self, request: web.Request) -> web.Response:
        if self.max_model_len is None:
            return _error(404, "there is no list of models")
        listed = {"id": "scripted", "max_model_len": self.max_model_len}
        return web.json_response({"object": "list", "data": [listed]})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        payload = await request.json()
        self.requests.append((request.headers, payload))
        fault = next(self.faults, None)
        if fault is None and self.latency:
            await asyncio.sleep(self.latency)
        if fault is None and (refused := [name for name in payload if name in self.refuses]):
            return _error(400, self.refusal or f"unrecognized request argument: {refused[0]}")
        streamed = payload.get("stream") and "stream" not in self.ignores
        match fault:
            case None | Fault.CUT_OFF | Fault.ENDS_EARLY | Fault.FALLS_SILENT if streamed:
                return await self._streamed(request, payload, fault)
            case None:
                return web.json_response(self._completion(payload))
            case Fault.BUSY:
                return _error(429, "too many requests", {"Retry-After": "1"})
            case Fault.BROKEN:
                return _error(500, "something broke")
            case Fault.BAD_GATEWAY:
                return _error(502, "no server behind this proxy")
            case Fault.REFUSED:
                return _error(400, "this model's maximum context length is 4096 tokens " + "x" * 1000)
            case Fault.UNAUTHORIZED:
                return _error(401, f"wrong key: {request.headers.get('Authorization', 'none')}")
            case Fault.MALFORMED:
                return web.Response(text='{"choices": [', content_type="application/json")
            case Fault.CUT_OFF:
                response = web.StreamResponse(headers={"Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b'{"choices": [')
                _end_connection(request)
                return response
            case Fault.RESET:
                _end_connection(request)
                return web.Response()
            case Fault.NO_CHOICES:
                return web.json_response({"choices": [], "usage": None})
            case Fault.FEWER:
                return web.json_response(self._completion(payload | {"n": payload.get("n", 1) - 1}))
            case Fault.HANGS:
                await asyncio.sleep(3600)
                return web.Response()
            case (int(status), headers):
                return _error(status, "not like this", headers)
            case body:
                raw = body if isinstance(body, bytes) else body.encode()
                packed = {"Content-Encoding": "gzip"} if raw.startswith(b"\x1f\x8b") else None
                content_type = "text/event-stream" if streamed else "application/json"
                return web.Response(body=raw, content_type=content_type, headers=packed)

    async def _streamed(
        self, request: web.Request, request_body: dict[str, Any], fault: Fault | None
    ) -> web.StreamResponse:
        completion = self._completion(request_body)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunks = _chunks(completion, request_body)
        for chunk in chunks if fault is None else chunks[: len(chunks) // 2]:
            await response.write(f": here it comes\r\ndata: {json.dumps(chunk)}\r\n\r\n".encode())
            await asyncio.sleep(self.word_seconds)
        if fault is None:
            await response.write(b"data: [DONE]\n\n")
        while fault is Fault.FALLS_SILENT:
            await response.write(b": still here\n\n")
            await asyncio.sleep(0.05)
        if fault is Fault.CUT_OFF:
            _end_connection(request)
        return response

    def _completion(self, request_body: dict[str, Any]) -> dict[str, Any]:
        request_body = {name: value for name, value in request_body.items() if name not in self.ignores}
        question = request_body["messages"][-1]["content"]
        texts = self.answer(question)
        texts = [texts] if isinstance(texts, str) else texts
        limit = request_body.get("max_tokens") or 2**31
        choices, tokens = [], 0
        for index in range(request_body.get("n", 1)):
            text = texts[0 if request_body.get("temperature") == 0 else next(self._turn) % len(texts)]
            for stop in request_body.get("stop", ()):
                text = text.split(stop)[0]
            words = text.split(" ")
            tokens += min(len(words), limit)
            choices.append(
                {
                    "index": index,
                    "message": {"role": "assistant", "content": " ".join(words[:limit])},
                    "finish_reason": "length" if len(words) > limit else "stop",
                    "logprobs": self._logprobs(request_body, words[:limit]),
                }
            )
        prompt = sum(len(message["content"].split()) for message in request_body["messages"])
        return {
            "object": "chat.completion",
            "model": request_body["model"],
            "choices": choices,
            "usage": {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens},
            "prompt_logprobs": self._prompt_logprobs(request_body["messages"])
            if "prompt_logprobs" in request_body
            else None,
        }

    def _logprobs(self, request_body: dict[str, Any], words: list[str]) -> dict[str, Any] | None:
        if not request_body.get("logprobs"):
            return None
        if request_body.get("return_tokens_as_token_ids"):
            return {"content": [_position(token_id(word), request_body["top_logprobs"]) for word in words]}
        question = request_body["messages"][-1]["content"]
        first = self.first_words(question) if callable(self.first_words) else self.first_words
        likeliest = [{"token": word, "logprob": logprob} for word, logprob in first.items()]
        return {"content": [{**likeliest[0], "top_logprobs": likeliest}]}

    def _prompt_logprobs(self, messages: list[dict[str, str]]) -> list[dict[str, Any] | None]:
        *_, question, scored_text = (message["content"] for message in messages)
        words = SCORED_WORD.findall(scored_text)
        each = self.score(question, scored_text) / len(words)
        scored = [(word, -3.0) for word in SCORED_WORD.findall(question)] + [("\n", -1.0)] + [(w, each) for w in words]
        return [None, *({"7": {"logprob": logprob, "rank": 1, "decoded_token": word}} for word, logprob in scored)]

    def _likely_if_in_answer(self, question: str, text: str) -> float:
        texts = self.answer(question)
        answer = (texts if isinstance(texts, str) else texts[0]).split()
        return sum(-0.1 if word in answer else -5.0 for word in text.split())


def token_id(word: str) -> int:
    """The number of a word in this server's vocabulary."""
    return zlib.crc32(word.encode()) % 49152


def _position(chosen: int, k: int) -> dict[str, Any]:
    """Build one position as vLLM does: the chosen token comes first among the likeliest."""
    likely = [(chosen, -0.1), *(((chosen + rank) % 49152, -4.0 - rank / 2) for rank in range(1, k))]
    likeliest = [{"token": f"token_id:{token}", "logprob": logprob} for token, logprob in likely]
    return {**likeliest[0], "top_logprobs": likeliest}


def _chunks(completion: dict[str, Any], request_body: dict[str, Any]) -> list[dict[str, Any]]:
    """Split the completion into words; the samples alternate."""
    pieces: list[tuple[int, dict[str, Any]]] = []
    for choice in completion["choices"]:
        pieces.append((-1, {"index": choice["index"], "delta": {"role": "assistant", "content": ""}}))
        words = choice["message"]["content"].split(" ")
        for number, word in enumerate(words):
            logprobs = choice["logprobs"] and {"content": choice["logprobs"]["content"][number : number + 1]}
            delta = {"content": " " * (number > 0) + word}
            pieces.append((number, {"index": choice["index"], "delta": delta, "logprobs": logprobs}))
        pieces.append((len(words), {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}))
    chunks = [{"choices": [piece]} for _, piece in sorted(pieces, key=lambda piece: piece[0])]
    if request_body.get("stream_options", {}).get("include_usage"):
        chunks.append({"choices": [], "usage": completion["usage"]})
    return chunks


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status}}, status=status, headers=headers)


def _end_connection(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible server; no model.")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--answer", default=ANSWER, help="the text of every answer")
    parser.add_argument("--faults", nargs="*", type=Fault, default=[], help="faults of the first requests")
    options = parser.parse_args()
    server = ScriptedServer(lambda _: options.answer, latency=options.latency, faults=options.faults, port=options.port)
    with server:
        print(f"scripted server (no model) on {server.base_url}; Ctrl-C ends it")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
