"""The pool: hostile traces cost their own verdict and nothing else; children never outlive their parent."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import ROOT
from tracemill.errors import TracemillError, UsageError
from tracemill.verification.checks import Findings, Item, check
from tracemill.verification.pool import CheckPool

GOOD = Item("12 + 7 = 19. The answer is 19.", "19")


@pytest.fixture(scope="module")
def pool() -> Iterator[CheckPool]:
    pool = CheckPool(2, seconds=1.0, memory_mb=768)
    pool.check_all([GOOD])
    yield pool
    pool.close()


def test_only_the_trace_that_hangs_is_left_undecided(pool: CheckPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracemill.verification.pool.check_batch", _hang_at_endless)
    findings = pool.check_all([GOOD] * 5 + [Item("endless", "19")] + [GOOD] * 5)
    assert [each.correct for each in findings] == [True] * 5 + [None] + [True] * 5
    assert findings[5].proof == "timeout after 1 s"


def test_a_trace_that_eats_memory_is_killed_and_said_so(pool: CheckPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracemill.verification.pool.check_batch", _eat_memory)
    (findings,) = pool.check_all([GOOD])
    monkeypatch.undo()
    assert (findings.correct, findings.proof) == (None, "killed: memory")
    assert pool.check_all([GOOD])[0].correct is True


def test_a_child_stuck_inside_one_c_call_is_killed_too(pool: CheckPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracemill.verification.pool.check_batch", _stuck)
    start = time.monotonic()
    (findings,) = pool.check_all([GOOD])
    monkeypatch.undo()
    assert (findings.correct, findings.proof) == (None, "timeout after 1 s")
    assert time.monotonic() - start < 4


def test_results_come_in_the_order_of_the_traces(pool: CheckPool) -> None:
    findings = pool.check_all([Item(f"The answer is {n}", str(n if n % 3 else n + 1)) for n in range(100)])
    assert [each.answer for each in findings] == [str(n) for n in range(100)]
    assert [each.correct for each in findings] == [n % 3 != 0 for n in range(100)]


def test_many_threads_can_share_a_pool(pool: CheckPool) -> None:
    seen: list[bool] = []
    threads = [
        threading.Thread(target=lambda: seen.append(all(each.correct for each in pool.check_all([GOOD] * 20))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [True] * 8


def test_a_pool_whose_children_were_killed_from_outside_heals() -> None:
    pool = CheckPool(1)
    try:
        assert pool.check_all([GOOD])[0].correct is True
        for child in _check_children(os.getpid()):
            child.kill()
        time.sleep(0.5)
        assert pool.check_all([GOOD])[0].correct is True
    finally:
        pool.close()


def test_answers_that_mean_the_same_are_one_group(pool: CheckPool) -> None:
    answers = ["1/2", "0.5", r"\frac{1}{2}", "2", "2.0", "x+1", "1+x", "none of these"]
    assert pool.group(answers, "expression") == [0, 0, 0, 1, 1, 2, 2, 3]


def test_answers_that_cannot_be_compared_in_time_are_told_apart_by_their_text(
    pool: CheckPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracemill.verification.pool.groups", _stuck)
    assert pool.group(["1", "1.0", "1"], "number") == [0, 1, 0]


def test_answers_that_hang_cost_their_deadline_and_their_child() -> None:
    pool = CheckPool(1, seconds=1.0)
    try:
        assert pool.group(["1", "1.0"], "number") == [0, 0]
        # Other pools of this process replace their killed children meanwhile.
        (child,) = map(psutil.Process, pool._running()._pool_manager.worker_manager.workers)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tracemill.verification.pool.groups", _stuck)
            start = time.monotonic()
            assert pool.group(["1", "1.0", "1"], "number") == [0, 1, 0]
            assert 0.9 < time.monotonic() - start < 5
        assert psutil.wait_procs([child], timeout=5)[1] == []
        assert pool.group(["1", "1.0"], "number") == [0, 0]
    finally:
        pool.close()


def test_answers_are_grouped_by_meaning_after_the_pool_broke() -> None:
    pool = CheckPool(1)
    try:
        pool._running().stop()
        assert pool.group(["1", "1.0"], "number") == [0, 0]
    finally:
        pool.close()


def test_a_pool_that_breaks_six_times_in_a_row_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    pools: list[object] = []

    def broken(_pool: CheckPool, children: object, batches: list[tuple[list[int], list[Item]]]) -> Iterator[object]:
        pools.append(children)
        return iter([(batch, None) for batch, _ in batches])

    monkeypatch.setattr(CheckPool, "_run", broken)
    pool = CheckPool(1)
    with pytest.raises(TracemillError, match="died 6 times in a row"):
        pool.check_all([GOOD])
    pool.close()
    assert len(set(map(id, pools))) == len(pools) == 6  # each time with new children


@pytest.mark.parametrize(
    ("lengths", "batches"),
    [
        ([10] * 32, [16, 16]),
        ([10] * 33, [16, 16, 1]),
        ([10] * 20, [10, 10]),  # shared among the children
        ([250_000, 250_000, 1], [2, 1]),
        ([250_000, 250_001], [1, 1]),
        ([900_000, 1], [1, 1]),
    ],
)
def test_a_batch_holds_at_most_16_traces_and_half_a_million_characters(lengths: list[int], batches: list[int]) -> None:
    items = [Item("x" * (length - 2), "19") for length in lengths]
    pool = CheckPool(2)
    assert [len(batch) for batch in pool._batches(items, list(range(len(items))))] == batches
    pool.close()


def test_a_closed_pool_says_so() -> None:
    pool = CheckPool(1)
    pool.close()
    with pytest.raises(TracemillError, match="closed"):
        pool.check_all([GOOD])


@pytest.mark.parametrize(("workers", "seconds", "memory_mb"), [(0, 1, 256), (1, 0, 256), (1, 1, 255)])
def test_a_pool_without_workers_time_or_memory_is_wrong_use(workers: int, seconds: float, memory_mb: int) -> None:
    with pytest.raises(UsageError, match="at least 1 worker, some time, and 256 MB"):
        CheckPool(workers, seconds, memory_mb)


def test_the_smallest_pool_checks() -> None:
    pool = CheckPool(1, 3, 256)
    try:
        assert pool.check_all([GOOD])[0].correct is True
    finally:
        pool.close()


SCRIPT = """
import sys, time
from tracemill.verification.checks import Item
from tracemill.verification.pool import CheckPool
print("started", flush=True)
pool = CheckPool(1)
print(pool.check_all([Item("The answer is 5", "5")])[0].correct, flush=True)
if "stuck" in sys.argv:
    pool._running().schedule(pow, args=(9**999, 9**99), timeout=600)
    time.sleep(0.5)
    print("stuck", flush=True)
    time.sleep(600)
"""


def test_children_die_with_a_parent_that_is_killed_even_while_stuck(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, script, "stuck"],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    assert [parent.stdout.readline() for _ in range(3)] == ["started\n", "True\n", "stuck\n"]
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(_check_children(parent.pid)) == 1
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(children, timeout=5)[1] == []


def test_a_daemon_child_like_celerys_can_have_a_pool(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import billiard\n"
        "from tracemill.verification.checks import Item\n"
        "from tracemill.verification.pool import CheckPool\n"
        "def work(pool):\n"
        "    print(pool.check_all([Item('The answer is 5', '5')])[0].correct, flush=True)\n"
        "pool = CheckPool(1)\n"
        "work(pool)\n"
        "child = billiard.Process(target=work, args=(pool,))\n"
        "child.daemon = True\n"
        "child.start()\n"
        "child.join(30)\n"
        "print(pool.check_all([Item('The answer is 5', '5')])[0].correct, flush=True)\n"
    )
    done = subprocess.run([sys.executable, script], env=_environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\nTrue\nTrue\n", done.stderr


def test_a_script_without_a_main_guard_runs_once_and_its_children_ignore_group_signals(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal\n"
        "print('started', flush=True)\n"
        "from tracemill.verification.checks import Item\n"
        "from tracemill.verification.pool import CheckPool\n"
        "pool = CheckPool(1)\n"
        "pool.check_all([Item('The answer is 5', '5')])\n"
        "for number in (signal.SIGTERM, signal.SIGINT):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "    os.killpg(0, number)\n"
        "before = set(pool._pool._pool_manager.worker_manager.workers)\n"
        "print(pool.check_all([Item('The answer is 5', '5')])[0].correct)\n"
        "print(before == set(pool._pool._pool_manager.worker_manager.workers))\n"
    )
    done = subprocess.run(
        [sys.executable, script], env=_environment(), capture_output=True, text=True, timeout=60, start_new_session=True
    )
    assert (done.returncode, done.stdout) == (0, "started\nTrue\nTrue\n"), done.stderr


STARTING = """
import multiprocessing, os, signal, time
from tracemill.verification.pool import CheckPool

class Slow:
    def __reduce__(self):
        return time.sleep, (0.5,)

pool = CheckPool(2, scorer=Slow())
pool._running().schedule(len, args=("",))
first = min(child.pid for child in multiprocessing.active_children())
os.kill(first, signal.SIGSTOP)
pool.close()
print(len(multiprocessing.active_children()))
"""


def test_children_that_are_still_starting_end_without_a_traceback(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(STARTING)
    done = subprocess.run([sys.executable, script], env=_environment(), capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")


def _eat_memory(_items: object) -> None:
    """In the child: the real batch, with a check that asks for more than the limit."""
    from tracemill.verification import pool as in_child

    in_child.check = lambda _item: bytearray(2**31)  # type: ignore
    in_child.check_batch([GOOD])


def _hang_at_endless(items: list[Item]) -> list[Findings]:
    return [check(item) if item.text != "endless" else time.sleep(60) for item in items]  # type: ignore[misc]


def _stuck(*_anything: object) -> int:
    return int(pow(9**99999, 9**9))


def _check_children(parent: int) -> list[psutil.Process]:
    servers = [
        child
        for child in psutil.Process(parent).children()
        if "tracemill.verification.preload" in " ".join(child.cmdline())
    ]
    return [child for server in servers for child in server.children()]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
