"""Calls of many threads joined into batches."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tracemill.concurrency import batched


def test_every_caller_gets_its_own_result_and_most_share_a_call() -> None:
    calls: list[int] = []

    def double(items: list[int]) -> list[int]:
        calls.append(len(items))
        time.sleep(0.002)
        return [2 * item for item in items]

    doubled = batched(double, max_items=16, wait=0.005)
    with ThreadPoolExecutor(32) as threads:
        assert list(threads.map(doubled, range(500))) == [2 * item for item in range(500)]
    assert sum(calls) == 500
    assert max(calls) <= 16
    assert len(calls) < 250


def test_a_caller_that_comes_alone_does_not_wait() -> None:
    same = batched(lambda items: items, max_items=16, wait=5.0)
    started = time.monotonic()
    assert same("alone") == "alone"
    assert time.monotonic() - started < 2


def test_an_error_stays_with_the_item_that_caused_it() -> None:
    def halve(items: list[int]) -> list[int]:
        if any(item % 2 for item in items):
            raise ValueError("odd")
        return [item // 2 for item in items]

    halved = batched(halve, max_items=8, wait=0.01)

    def outcome(item: int) -> object:
        try:
            return halved(item)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(outcome, range(100)))
    assert outcomes == ["odd" if item % 2 else item // 2 for item in range(100)]


def test_every_caller_returns_when_the_call_dies() -> None:
    def dies(items: list[int]) -> list[int]:
        raise SystemExit("the end")

    dying = batched(dies, max_items=4, wait=0.01)
    ended: list[BaseException] = []

    def call() -> None:
        try:
            dying(1)
        except BaseException as error:
            ended.append(error)

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(ended) == 12


def test_too_few_results_are_an_error_and_not_a_wrong_result() -> None:
    with pytest.raises(ValueError, match="shorter"):
        batched(lambda items: [], max_items=4, wait=0.01)("one")
