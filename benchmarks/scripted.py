"""A scripted server with the OpenAI protocol and very low cost. It is no model: it replaces the GPU.

Each question's answers are whole bodies, prepared in advance, so that nearly all measured time is Tracemill's. The
server runs in a process of its own. `tests/scripted_server.py` can do more and costs several times as much.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import psutil

from benchmarks.common import environment
from benchmarks.traces import SAMPLES, gsm8k_like
from producer.sources import Question
from tracemill.interpreter import python

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def questions(count: int) -> list[Question]:
    """Different word problems with their gold answers. They are the same at every call."""
    return [Question(text, gold, None, None, {}, None) for text, (gold, _) in _answered(count).items()]


def _answered(count: int) -> dict[str, tuple[str, list[str]]]:
    """Each question with its gold and its `SAMPLES` answers."""
    answered: dict[str, tuple[str, list[str]]] = {}
    for traces in zip(*[gsm8k_like(2 * SAMPLES * count)] * SAMPLES, strict=True):
        if len(answered) < count:
            answered.setdefault(traces[0].question, (traces[0].gold, [trace.text for trace in traces]))
    return answered


def _body(texts: list[str]) -> bytes:
    tokens = sum(len(text.split()) for text in texts)
    body = json.dumps(
        {
            "object": "chat.completion",
            "model": "scripted, no model",
            "choices": [
                {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                for index, text in enumerate(texts)
            ],
            "usage": {"prompt_tokens": 50, "completion_tokens": tokens, "total_tokens": 50 + tokens},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class _Connection(asyncio.Protocol):
    """One kept-alive connection. Its requests arrive one after the other."""

    def __init__(self, bodies: dict[str, bytes], latency: float) -> None:
        self.bodies = bodies
        self.latency = latency
        self.read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        self.read += data
        head, end, body = self.read.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return
        self.read = b""
        # The question is the first line. The prompt of the method follows.
        answer = self.bodies[json.loads(body)["messages"][-1]["content"].partition("\n")[0]]
        if self.latency:
            asyncio.get_running_loop().call_later(self.latency, self.write, answer)
        else:
            self.write(answer)


async def serve(count: int, latency: float) -> None:
    """Answer until the process ends. The first line of output is the address."""
    bodies = {text: _body(texts) for text, (_, texts) in _answered(count).items()}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(_Connection, bodies, latency), "127.0.0.1", backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


class Running(NamedTuple):
    """The server's address, and its process."""

    base_url: str
    process: psutil.Process


@contextmanager
def scripted(count: int, latency: float = 0.0) -> Iterator[Running]:
    """The server in a process of its own. `count`: number of its questions. `latency`: seconds before an answer."""
    command = python("benchmarks.scripted", f"--questions={count}", f"--latency={latency}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment()) as process:
        try:
            assert process.stdout is not None
            yield Running(process.stdout.readline().strip(), psutil.Process(process.pid))
        finally:
            process.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible server; no model.")
    parser.add_argument("--questions", type=int, required=True, help="number of questions")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    asyncio.run(serve(options.questions, options.latency))
