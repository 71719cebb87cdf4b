"""The scripted model as a process of its own, which answers after a random time and can be told to misbehave.

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

#: What some proxies say with status 200.
GARBAGE = b"<html>\x00\xff It works! </html>"
GARBLED = "garbled"
#: Every request waits until the mood is another one, and is answered then.
HELD = "held"

#: An answer takes between a fifth of the mean latency and nearly twice as much.
SHORTEST, LONGEST = 0.2, 1.8


class Model(ScriptedServer):
    """In the mood that a file tells, read at each request."""

    def __init__(self, port: int, latency: float, seed: int, mood: Path) -> None:
        super().__init__(lambda question: list(answers(question)), faults=moods(mood), port=port)
        self.mean, self.random, self.mood = latency, random.Random(seed), mood

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        while self.mood.read_text().startswith(HELD):
            self.mood.with_suffix(".waits").touch()
            await asyncio.sleep(0.1)
        self.latency = self.mean * self.random.uniform(SHORTEST, LONGEST)
        return await super()._handle(request)


def tell(mood: Path, fault: str, seconds: float) -> None:
    """From now on the model meets every request with this fault, for so many seconds."""
    new = mood.with_suffix(".new")
    new.write_text(f"{fault} {time.time() + seconds}")
    new.replace(mood)  # at once, so that no request reads half of it


def waits(mood: Path) -> bool:
    """Whether any request has been held so far."""
    return mood.with_suffix(".waits").exists()


def moods(mood: Path) -> Iterator[Fault | bytes | None]:
    """What happens to each request."""
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
