"""Room in an engine: the samples of a worker that are in it at a time.

A task waits for room before it claims its question. So a worker claims only what its engine can answer now. A question
that was in an engine when it died gets more room than it needs, so that fewer others share its next engine.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
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
    """The limits of one engine."""

    #: Of claimed questions. It is larger: the engine must not idle while questions are claimed and answers stored.
    claimed: Room
    #: Of samples in the engine.
    inside: Room
    #: Of verify tasks that ask it as a judge.
    judging: Room


def rooms_of(engine: Engine) -> Rooms:
    """The limits of an engine of this process."""
    with _making:
        if engine not in _rooms:
            limit = capacity(engine)
            _rooms[engine] = Rooms(Room(with_spare(limit)), Room(limit), Room(limit))
        return _rooms[engine]


def with_spare(limit: int) -> int:
    """The samples that a worker claims if its engine takes `limit`."""
    return limit + max(2, limit // 4)


@contextmanager
def visiting(engine: Engine, samples: int, deaths: int, stop: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Wait for room for one visit, and hold it until the block ends. Yields False if `stop` came first.

    After each death of an engine with this question in it, the question takes twice the room. In the end it is alone.
    """
    rooms, limit = rooms_of(engine), capacity(engine)
    share = min(samples << min(deaths, 30), max(samples, limit))
    no_judging = rooms.judging.taken(limit) if deaths and share >= limit else nullcontext()
    with rooms.inside.taken(share, stop) as has_room, no_judging:
        yield has_room


@contextmanager
def judging(engine: Engine, deaths: int) -> Iterator[None]:
    """Wait for room for the judge's requests of one verify task. After a death they have the engine for themselves."""
    rooms, limit = rooms_of(engine), capacity(engine)
    with rooms.inside.taken(limit) if deaths else nullcontext(), rooms.judging.taken(limit if deaths else 1):
        yield
