"""A card is held by engines together, or by one fit alone."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracemill import lending
from tracemill.lending import Tenancy, borrowed


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "LOOK_SECONDS", 0.02)


class Worker:
    """A worker's engines, and what they did."""

    def __init__(self, data_dir: Path, *cards: str) -> None:
        self.events: list[str] = []
        tenancy = Tenancy(data_dir, cards)
        tenancy.enter()
        calls = (lambda: self.events.append("sleep"), lambda: self.events.append("wake"))
        threading.Thread(target=tenancy.lend, args=calls, daemon=True).start()

    def wait_for(self, *events: str) -> None:
        deadline = time.monotonic() + 20
        while self.events != list(events) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.events == list(events)


def forever() -> bool:
    return True


def test_all_engines_of_a_card_sleep_while_a_fit_holds_it(tmp_path: Path) -> None:
    first, second, elsewhere = Worker(tmp_path, "0"), Worker(tmp_path, "0", "1"), Worker(tmp_path, "2")
    with borrowed(tmp_path, ["0"], forever) as is_held:
        assert is_held
        assert first.events == second.events == ["sleep"]
        time.sleep(0.2)
        assert first.events == ["sleep"]
    first.wait_for("sleep", "wake")
    second.wait_for("sleep", "wake")
    assert elsewhere.events == []


def test_a_worker_that_starts_during_a_fit_waits_for_its_end(tmp_path: Path) -> None:
    tenancy, entered = Tenancy(tmp_path, ["0"]), threading.Event()
    with borrowed(tmp_path, ["0"], forever):
        threading.Thread(target=lambda: (tenancy.enter(), entered.set()), daemon=True).start()
        assert not entered.wait(0.3)
    assert entered.wait(20)


def test_a_fit_that_may_not_wait_leaves_the_engines_awake(tmp_path: Path) -> None:
    tenancy = Tenancy(tmp_path, ["0"])
    tenancy.enter()  # it never lends
    looks: Iterator[bool] = iter((True, True, False))
    with borrowed(tmp_path, ["0"], lambda: next(looks)) as is_held:
        assert not is_held
    assert not tenancy.is_requested()


def _hold(data_dir: Path) -> None:
    with borrowed(data_dir, ["0"], forever):
        time.sleep(60)


def test_a_killed_fit_gives_the_card_back(tmp_path: Path) -> None:
    worker = Worker(tmp_path, "0")
    fit = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path,))
    fit.start()
    worker.wait_for("sleep")
    assert fit.pid is not None
    os.kill(fit.pid, signal.SIGKILL)
    fit.join()
    worker.wait_for("sleep", "wake")


def test_a_fit_on_the_cpu_borrows_nothing(tmp_path: Path) -> None:
    with borrowed(tmp_path, [], forever) as is_held:
        assert is_held
    assert list(tmp_path.iterdir()) == []
