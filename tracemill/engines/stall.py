"""Time since the last step of a vLLM engine, to distinguish a hanging engine from a slow one."""

import time
from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase


class Steps(StatLoggerBase):  # type: ignore[misc]  # vLLM is not typed
    """A vLLM stat logger that records each step of the engine. A waiting request enters it as a context."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._waiting = 0

    def __enter__(self) -> None:
        """Add a waiting request. For the first one the time starts now, because the engine was idle."""
        if not self._waiting:
            self._last = time.monotonic()
        self._waiting += 1

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1

    @property
    def stalled_seconds(self) -> float:
        """Seconds since the last step, or since the first request came; 0 if no request waits."""
        return time.monotonic() - self._last if self._waiting else 0.0

    def record(self, *_: Any, **__: Any) -> None:
        self._last = time.monotonic()

    def log_engine_initialized(self) -> None:
        pass
