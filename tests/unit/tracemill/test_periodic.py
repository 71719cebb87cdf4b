"""Periodic work: it repeats, and stopping it leaves no thread."""

import threading
import time

from tracemill.concurrency import Periodic


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_work_repeats_until_it_is_stopped() -> None:
    calls: list[float] = []
    three = threading.Event()

    def work() -> None:
        calls.append(time.monotonic())
        if len(calls) == 3:
            three.set()

    with Periodic("beats", 0.001, work):
        assert three.wait(10)
    n_calls = len(calls)
    assert "tracemill-beats" not in names()
    time.sleep(0.05)
    assert len(calls) == n_calls


def test_stopping_waits_for_the_call_in_progress() -> None:
    started, ended = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        time.sleep(0.1)
        ended.set()

    periodic = Periodic("slow", 0.001, work)
    assert started.wait(10)
    periodic.stop()
    assert ended.is_set()


def test_stopping_does_not_wait_for_the_interval_to_pass() -> None:
    calls: list[None] = []
    periodic = Periodic("rare", 3600, lambda: calls.append(None))
    periodic.stop()
    assert "tracemill-rare" not in names()
    assert calls == []
