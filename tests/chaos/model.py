"""The scripted model as a process, with a random latency and faults on command.

python -m tests.chaos.model --port 8001 --latency 0.5 --seed 1 --mood FILE
"""

import argparse
import asyncio
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

from tests.integration.answers import answers
from tests.scripted_server import Fault, ScriptedServer

#: The body of some proxies' answers with status 200.
GARBAGE = b"<html>\x00\xff It works! </html>"
GARBLED = "garbled"
#: Every request waits for the end of this mood and is then answered.
HELD = "held"

#: The latency range of an answer, as factors of the mean latency.
SHORTEST, LONGEST = 0.2, 1.8


class Model(ScriptedServer):
    """Reads its mood, the current fault, from a file at each request, and records its answers beside it."""

    def __init__(self, port: int, latency: float, seed: int, mood: Path) -> None:
        super().__init__(lambda question: list(answers(question)), faults=moods(mood), port=port)
        self.mean, self.random, self.mood = latency, random.Random(seed), mood
        self.record = answered_file(mood).open("a", buffering=1)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        while self.mood.read_text().startswith(HELD):
            self.mood.with_suffix(".waits").touch()
            await asyncio.sleep(0.1)
        self.latency = self.mean * self.random.uniform(SHORTEST, LONGEST)
        is_answered = next(moods(self.mood)) is None
        response = await super()._handle(request)
        if is_answered and request.transport is not None:  # the client waits for it
            self.record.write((await request.json())["messages"][-1]["content"] + "\n")
        return response


def tell(mood: Path, fault: str, seconds: float) -> None:
    """Answer every request with this fault for the given number of seconds."""
    new = mood.with_suffix(".new")
    new.write_text(f"{fault} {time.time() + seconds}")
    new.replace(mood)  # atomic, so that no request reads a partial file


def answered_file(mood: Path) -> Path:
    """The file with the question of each complete answer, one a line."""
    return mood.with_suffix(".answered")


def waits(mood: Path) -> bool:
    """Return True if any request has been held so far."""
    return mood.with_suffix(".waits").exists()


def moods(mood: Path) -> Iterator[Fault | bytes | None]:
    """Yield the fault of each request."""
    while True:
        fault, until = mood.read_text().split()
        if time.time() > float(until):
            yield None
        else:
            yield GARBAGE if fault == GARBLED else Fault(fault)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--mood", type=Path, required=True)
    with Model(**vars(parser.parse_args())):
        threading.Event().wait()


if __name__ == "__main__":
    main()
