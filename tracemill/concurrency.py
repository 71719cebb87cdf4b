"""Tools for threads: a value made once a process, repeated work, and calls joined into batches."""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")


class once(Generic[T]):
    """Decorator for a function without parameters: call it once and keep its value.

    `cache_clear()` and `pop()` forget the value. `functools.cache` may call its function twice when two threads call it
    at the same time. The process would then have two event loops, or two pools of children. Here the second thread
    waits.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made = False
        self.__doc__ = make.__doc__

    def __call__(self) -> T:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._value = self._make()
                    self._made = True
        return self._value

    def pop(self) -> T | None:
        """Forget the value and return it, so that the caller can close it; None if there was none."""
        with self._lock:
            value = self._value if self._made else None
            self._made = False
        return value

    def cache_clear(self) -> None:
        """Forget the value. Safe in a forked child, where another thread may have held the lock."""
        self._lock = threading.Lock()
        self._made = False


class Periodic:
    """A daemon thread that calls `work` every `seconds`, first after one interval.

    An exception from `work` ends the thread, so `work` must catch the exceptions that it can survive.
    """

    def __init__(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        self._seconds = seconds
        self._work = work
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tracemill-{name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait until the current call of `work` has ended. No other call follows."""
        self._stopped.set()
        self._thread.join()

    def __enter__(self) -> "Periodic":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            self._work()


class _Call(Generic[T, R]):
    """One caller in the queue."""

    __slots__ = ("done", "error", "item", "result", "turn")

    def __init__(self, item: T) -> None:
        self.item = item
        self.done = False
        self.result: R | None = None
        self.error: BaseException | None = None
        #: Held until the item is done, or until this caller becomes the leader.
        self.turn = threading.Lock()
        self.turn.acquire()


class batched(Generic[T, R]):
    """Turn a function of many items into a function of one item that threads share. Thread-safe.

    Databases group their commits in the same way. A single caller is served at once. If others called shortly before,
    the first caller waits up to `wait` seconds for more calls. Then it runs at most `max_items` of them together.

    `run` returns one result for each item, in order. It must do all or nothing: if it raises for several items, each
    item is tried again alone. So only the item that caused the error gets it.
    """

    def __init__(self, run: Callable[[list[T]], Sequence[R]], max_items: int, wait: float) -> None:
        self._run = run
        self._max_items = max_items
        self._wait = wait
        self._lock = threading.Lock()
        self._queue: list[_Call[T, R]] = []
        self._busy = False
        self._last = 0.0

    def __call__(self, item: T) -> R:
        """The result for `item`. Raises what `run` raises for it."""
        call: _Call[T, R] = _Call(item)
        with self._lock:
            self._queue.append(call)
            waits, self._busy = self._busy, True
        if waits:
            call.turn.acquire()
        if not call.done:
            self._lead()
        if call.error is not None:
            raise call.error
        return cast(R, call.result)

    def _lead(self) -> None:
        """Serve the first calls of the queue. The first of them is this thread's own call."""
        if time.monotonic() - self._last < 2 * self._wait and len(self._queue) < self._max_items:
            time.sleep(self._wait)
        with self._lock:
            calls, self._queue = self._queue[: self._max_items], self._queue[self._max_items :]
        self._serve(calls)
        if len(calls) > 1 and calls[0].error is not None:
            for call in calls:
                call.error = None
                self._serve([call])
        with self._lock:
            following = self._queue[0] if self._queue else None
            self._busy = following is not None
            self._last = time.monotonic()
        for call in calls[1:]:
            call.done = True
            call.turn.release()
        if following is not None:
            following.turn.release()

    def _serve(self, calls: list[_Call[T, R]]) -> None:
        try:
            for call, result in zip(calls, self._run([call.item for call in calls]), strict=True):
                call.result = result
        except BaseException as error:  # otherwise the callers would wait without end
            for call in calls:
                call.error = error
