"""A gate before an engine: while it is closed, requests wait outside of every time limit."""

import asyncio
from types import TracebackType


class Gate:
    """Counts the requests inside. Use it from one event loop, as a context manager around each request."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._inside = 0

    async def close(self) -> None:
        """Let no further request in, and wait until those inside have ended."""
        self._open.clear()
        await self._empty.wait()

    def open(self) -> None:
        """Let the waiting requests in."""
        self._open.set()

    async def __aenter__(self) -> None:
        while not self._open.is_set():  # it may be closed again before this task continues
            await self._open.wait()
        self._inside += 1
        self._empty.clear()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside -= 1
        if self._inside == 0:
            self._empty.set()
