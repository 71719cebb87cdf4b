"""`@once`: one value a process, also for threads that ask at the same moment."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tracemill.concurrency import once


def test_concurrent_threads_get_the_same_value() -> None:
    barrier = Barrier(8)

    @once
    def value() -> object:
        time.sleep(0.05)
        return object()

    def ask(_: int) -> object:
        barrier.wait()
        return value()

    with ThreadPoolExecutor(8) as threads:
        assert len({id(value) for value in threads.map(ask, range(8))}) == 1


def test_a_value_can_be_forgotten() -> None:
    made: list[int] = []

    @once
    def value() -> int:
        made.append(1)
        return len(made)

    assert (value(), value()) == (1, 1)
    value.cache_clear()
    assert value() == 2


def test_pop_returns_the_value_so_that_it_can_be_closed() -> None:
    made: list[int] = []

    @once
    def value() -> int:
        made.append(1)
        return len(made)

    assert value.pop() is None
    assert value() == 1
    assert value.pop() == 1
    assert value.pop() is None
    assert value() == 2
