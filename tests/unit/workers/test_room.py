"""Room in an engine: samples are counted, in the order in which their questions came."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from tracemill.engines import Engine
from workers import room as rooms_module
from workers.room import Room, judging, rooms_of, visiting


def test_the_samples_inside_never_exceed_the_limit_and_reach_it() -> None:
    room, inside, peaks, lock = Room(10), [0], [], threading.Lock()

    def visit(samples: int) -> None:
        with room.taken(samples) as has_room:
            assert has_room
            with lock:
                inside[0] += samples
                peaks.append(inside[0])
            time.sleep(0.005)
            with lock:
                inside[0] -= samples

    with ThreadPoolExecutor(40) as threads:
        list(threads.map(visit, [1, 2, 3, 4] * 25))
    assert len(peaks) == 100
    assert 8 <= max(peaks) <= 10


def test_a_question_with_more_samples_than_the_limit_is_alone() -> None:
    room, order, is_in = Room(2), [], threading.Event()

    def large() -> None:
        with room.taken(8) as has_room:
            assert has_room
            is_in.set()
            time.sleep(0.1)
            order.append("large")

    def small() -> None:
        is_in.wait()
        with room.taken(1):
            order.append("small")

    with ThreadPoolExecutor(2) as threads:
        for each in [threads.submit(small), threads.submit(large)]:
            each.result(10)
    assert order == ["large", "small"]


def test_a_waiting_question_gives_up_when_the_worker_shuts_down() -> None:
    room, stopping = Room(1), threading.Event()
    with room.taken(1), ThreadPoolExecutor(1) as threads:

        def late() -> bool:
            with room.taken(1, stopping.is_set) as has_room:
                return has_room

        answer = threads.submit(late)
        time.sleep(0.05)
        assert not answer.done()
        stopping.set()
        assert answer.result(10) is False
    with room.taken(1) as has_room:  # nothing was taken for the one that gave up
        assert has_room


class SixteenSequences:
    max_sequences = 16


def test_after_each_death_half_as_many_questions_share_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms_module, "capacity", lambda engine: engine.max_sequences)
    engine = cast(Engine, SixteenSequences())
    rooms = rooms_of(engine)
    shares = []
    for deaths in range(7):
        with visiting(engine, 2, deaths):
            shares.append(rooms.inside._inside)
            judges_wait = rooms.judging._inside == 16
    assert shares == [2, 4, 8, 16, 16, 16, 16]
    assert judges_wait
    with judging(engine, 0):
        assert (rooms.inside._inside, rooms.judging._inside) == (0, 1)
    with judging(engine, 1):
        assert (rooms.inside._inside, rooms.judging._inside) == (16, 16)
