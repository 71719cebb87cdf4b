"""When a vLLM engine last made a step: how one that hangs is told from one that is slow."""

import time
from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase


class Steps(StatLoggerBase):  # type: ignore[misc]  # vLLM is not typed
    """Told by vLLM of every step of its engine."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._waiting = 0

    def __enter__(self) -> None:
        """A request waits; the first one finds an engine that had nothing to do."""
        if not self._waiting:
            self._last = time.monotonic()
        self._waiting += 1

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1

    @property
    def silent(self) -> float:
        """Seconds since the last step, or since there is something to do."""
        return time.monotonic() - self._last if self._waiting else 0.0

    def record(self, *_: Any, **__: Any) -> None:
        self._last = time.monotonic()

    def log_engine_initialized(self) -> None:
        pass
