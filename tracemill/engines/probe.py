"""Whether an engine works: a simple request tells a request that it always fails from an engine that fails them all."""

import asyncio
import math
import time

from tracemill.engines import PROBE, Engine
from tracemill.errors import EngineError, RequestRefused
from tracemill.sampling import Sampling


class Probe:
    """The simple request, sent once for all callers that need it at a time. Use it from one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._began = -math.inf
        self._is_answered = False

    async def answers_now(self, engine: Engine) -> bool:
        """Whether the engine answers a simple request that begins now or later."""
        now = time.monotonic()
        async with self._turn:
            if self._began < now:
                self._began = time.monotonic()
                self._is_answered = await _answers(engine)
            return self._is_answered


async def _answers(engine: Engine) -> bool:
    try:
        await engine.generate(PROBE, 1, Sampling(max_tokens=1))
    except RequestRefused:
        return True  # it answers, but not this request
    except EngineError:
        return False
    return True
