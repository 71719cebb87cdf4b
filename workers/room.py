"""Room in an engine: the samples of a worker that are in it at a time.

A task waits for room before it claims its question. So a worker claims only what its engine can answer now.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary

from tracemill.engines import Engine
from tracemill.engines.registry import capacity

#: Seconds between two looks of a waiting task at whether it shall stop.
LOOK_SECONDS = 0.5

_rooms: "WeakKeyDictionary[Engine, Rooms]" = WeakKeyDictionary()
_making = threading.Lock()


class Room:
    """The samples in one engine. Threads wait in order, so many small requests cannot keep out a large one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0
        self._turn = threading.Lock()
        self._freed = threading.Condition()

    @contextmanager
    def taken(self, samples: int, stop: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Wait for room for so many samples, and hold it until the block ends. Yields False if `stop` came first.

        More samples than the limit get the engine for themselves.
        """
        with self._turn, self._freed:
            while not (stopped := stop()) and self._inside and self._inside + samples > self._limit:
                self._freed.wait(LOOK_SECONDS)
            self._inside += 0 if stopped else samples
        try:
            yield not stopped
        finally:
            with self._freed:
                self._inside -= 0 if stopped else samples
                self._freed.notify()


class Rooms(NamedTuple):
    """The two limits of one engine."""

    #: Of claimed questions. It is larger: the engine must not idle while questions are claimed and answers stored.
    claimed: Room
    #: Of requests in the engine.
    inside: Room


def rooms_of(engine: Engine) -> Rooms:
    """The limits of an engine of this process."""
    with _making:
        if engine not in _rooms:
            limit = capacity(engine)
            _rooms[engine] = Rooms(Room(with_spare(limit)), Room(limit))
        return _rooms[engine]


def with_spare(limit: int) -> int:
    """The samples that a worker claims if its engine takes `limit`."""
    return limit + max(2, limit // 4)
