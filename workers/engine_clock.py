"""How much of an engine's time a request took, when many are in the engine at once.

Each instant belongs to the requests that are in the engine then, in equal parts (processor sharing). Time that is
counted so runs slower the more there are, and a request's part is what passes of it while the request is there. The
parts of all requests add up to the time in which the engine was busy.
"""

import time


class EngineClock:
    """The shared time of one engine. Must be used from one event loop."""

    def __init__(self) -> None:
        self._inside = 0
        self._shared = 0.0
        self._seen = 0.0

    def enter(self) -> float:
        """A request begins; keep what is returned for `leave`."""
        self._advance()
        self._inside += 1
        return self._shared

    def leave(self, entered: float) -> float:
        """The request that `enter` gave `entered` ends: its part, in seconds."""
        self._advance()
        self._inside -= 1
        return self._shared - entered

    def _advance(self) -> None:
        now = time.monotonic()
        if self._inside:
            self._shared += (now - self._seen) / self._inside
        self._seen = now
