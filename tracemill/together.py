"""Calls that come at about the same time are done as one, as databases group their commits.

A caller that comes alone is served at once. Where others came shortly before, the first waits a moment for more to
come, and does what all of them want with its own.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")


class _Place(Generic[T, R]):
    """One caller in the row."""

    __slots__ = ("done", "error", "item", "result", "turn")

    def __init__(self, item: T) -> None:
        self.item = item
        self.done = False
        self.result: R | None = None
        self.error: BaseException | None = None
        #: Held until the item is done, or until it is this caller's turn to do it.
        self.turn = threading.Lock()
        self.turn.acquire()


class together(Generic[T, R]):
    """Wrap a function of many items, so that threads call it with one item each. Thread-safe.

    `do` takes at most `most` items and gives a result for each, in order; they come together within `wait` seconds.
    When it raises for several, each is done alone, so that what is wrong with one stays its own: it must therefore do
    all or nothing.
    """

    def __init__(self, do: Callable[[list[T]], Sequence[R]], most: int, wait: float) -> None:
        self._do = do
        self._most = most
        self._wait = wait
        self._lock = threading.Lock()
        self._row: list[_Place[T, R]] = []
        self._busy = False
        self._last = 0.0

    def __call__(self, item: T) -> R:
        """The result for `item`. Raises what `do` raises for it."""
        place: _Place[T, R] = _Place(item)
        with self._lock:
            self._row.append(place)
            waits, self._busy = self._busy, True
        if waits:
            place.turn.acquire()
        if not place.done:
            self._lead()
        if place.error is not None:
            raise place.error
        return cast(R, place.result)

    def _lead(self) -> None:
        """Do what the first in the row want; the caller is the first of them."""
        if time.monotonic() - self._last < 2 * self._wait and len(self._row) < self._most:
            time.sleep(self._wait)
        with self._lock:
            places, self._row = self._row[: self._most], self._row[self._most :]
        self._run(places)
        if len(places) > 1 and places[0].error is not None:
            for place in places:
                place.error = None
                self._run([place])
        with self._lock:
            following = self._row[0] if self._row else None
            self._busy = following is not None
            self._last = time.monotonic()
        for place in places[1:]:
            place.done = True
            place.turn.release()
        if following is not None:
            following.turn.release()

    def _run(self, places: list[_Place[T, R]]) -> None:
        try:
            for place, result in zip(places, self._do([place.item for place in places]), strict=True):
                place.result = result
        except BaseException as error:  # whatever it is, nobody in the row may wait for ever
            for place in places:
                place.error = error
