"""The share of each request in its engine's time, when many requests are in the engine at once.

All requests in the engine share each instant in equal parts (processor sharing). This shared time runs slower the more
requests there are. The share of a request is the shared time between its start and its end. The shares of all requests
add up to the time in which the engine was busy.
"""

import time


class EngineClock:
    """The shared time of one engine. Must be used from one event loop."""

    def __init__(self) -> None:
        self._inside = 0
        self._shared = 0.0
        self._updated = 0.0

    def enter(self) -> float:
        """Begin a request. `leave` needs the returned value."""
        self._advance()
        self._inside += 1
        return self._shared

    def leave(self, entered: float) -> float:
        """End a request: its share, in seconds. `entered` is the value that `enter` returned."""
        self._advance()
        self._inside -= 1
        return self._shared - entered

    def _advance(self) -> None:
        now = time.monotonic()
        if self._inside:
            self._shared += (now - self._updated) / self._inside
        self._updated = now
