"""The one way to ask a judge: a model alias, with a bound on the traces that it rates at a time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

from tracemill.engines import Engine
from tracemill.engines.probe import Probe
from tracemill.engines.registry import alias_engine, capacity, close_engines
from tracemill.errors import EngineAway
from tracemill.event_loop import gather, run
from tracemill.policy import Signal
from tracemill.verification.judge import CanaryResult, Judged, ask, canaries
from tracemill.verification.judge.case import Case

#: Takes a reply and the index of its request.
Progress: TypeAlias = Callable[[int, Judged], None]


def _ignored(index: int, judged: Judged) -> None:
    """A progress that nobody follows."""


class Request(NamedTuple):
    """A trace, and the signals to ask for."""

    case: Case
    signals: Sequence[Signal]


class Judge:
    """A model alias as a judge. Thread-safe: all threads together have at most `capacity` traces in its engine."""

    def __init__(self, alias: str) -> None:
        """Start the engine of the alias. Raises UsageError or EngineError."""
        self.alias = alias
        self._slots = asyncio.Semaphore(capacity(alias_engine(alias)))
        self._probe = Probe()
        self._batches: set[asyncio.Task[Any]] = set()

    def canaries(self) -> Coroutine[Any, Any, list[CanaryResult]]:
        """Work for the event loop: whether attacks move its ratings. Raises EngineError when it cannot be asked."""
        return canaries(alias_engine(self.alias))

    def ask(self, requests: Sequence[Request | None], progress: Progress = _ignored) -> list[Judged | None]:
        """The judge's signals of each request, in order; None for no request. `progress` takes each reply.

        A judge that cannot answer is data: `Judged.away`. Requests of this call that wait for a slot then are not sent.
        Raises EngineDead when no later request can succeed either; requests under way are cancelled.
        """
        replies: list[Judged | None] = [None] * len(requests)
        run(self.fill(replies, requests, progress))
        return replies

    def fill(
        self,
        replies: list[Judged | None],
        requests: Sequence[Request | None],
        progress: Progress = _ignored,
    ) -> Coroutine[Any, Any, None]:
        """`ask` as work for the event loop. It puts each reply into `replies`, also if it is cancelled later."""
        return self._fill(alias_engine(self.alias), replies, requests, progress)

    async def _fill(
        self,
        running: Engine,
        replies: list[Judged | None],
        requests: Sequence[Request | None],
        progress: Progress,
    ) -> None:
        away: list[EngineAway] = []

        async def rate(index: int, request: Request) -> None:
            async with self._slots:
                if away:
                    replies[index] = Judged(away=away[0])
                    return
                start = perf_counter()
                try:
                    judged = await ask(running, request.case, request.signals)
                    if judged.doubt and not await self._probe.answers_now(running):
                        raise EngineAway(str(judged.doubt))
                except EngineAway as error:
                    away.append(error)
                    judged = Judged(away=error)
            judged = replies[index] = replace(judged, seconds=perf_counter() - start)
            progress(index, judged)

        batch = asyncio.current_task()
        assert batch is not None
        self._batches.add(batch)
        try:
            await gather(*(rate(index, request) for index, request in enumerate(requests) if request is not None))
        finally:
            self._batches.discard(batch)

    def close(self) -> None:
        """Cancel the calls under way, which then raise, and end every engine of this process."""
        run(self._cancel())
        close_engines()

    async def _cancel(self) -> None:
        batches = list(self._batches)
        for batch in batches:
            batch.cancel()
        await asyncio.gather(*batches, return_exceptions=True)
