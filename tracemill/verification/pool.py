"""A pool of child processes that check traces and can be killed.

A trace that hangs or fills the memory loses its own verdict and no other. Traces go to a child in small batches,
because a round trip costs more than a check. A batch that times out or kills its child is repeated one trace at a time,
so that only the trace at fault stays undecided.
"""

import math
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from multiprocessing import util
from time import monotonic
from typing import TYPE_CHECKING

from tracemill.errors import TracemillError, UsageError
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.answers.voting import groups
from tracemill.verification.checks import MAX_TEXT, Findings, Item, check
from tracemill.verification.fork_server import CheckContext, allow_children, settle_child
from tracemill.verification.scorers import load

if TYPE_CHECKING:
    from pebble import ProcessPool

BATCH = 16  # traces in one message to a child: the round trip is then a few percent of the work
BATCH_CHARS = 500_000
MAX_ANSWER = 2_000  # characters of an answer that are compared with other answers
OUT_OF_MEMORY = 77  # exit code of a child that reached its memory limit
STALL_SECONDS = 30.0  # without any result, beyond the limit of a task: the pool itself is broken
MAX_REBUILDS = 5


class CheckPool:
    """`workers` child processes that run `check`, each trace within `seconds` and `memory_mb`. Thread-safe.

    They load the scorer of this name before their first trace, because that can take seconds.

    Children start at the first call. They end with `close`, and with this process, even if it is killed.
    """

    def __init__(self, workers: int, seconds: float = 3.0, memory_mb: int = 1024, scorer: str | None = None) -> None:
        if workers < 1 or seconds <= 0 or memory_mb < 256:
            raise UsageError(
                f"CheckPool(workers={workers}, seconds={seconds}, memory_mb={memory_mb}): needs at least 1 worker, "
                "some time, and 256 MB (an idle child with math-verify loaded takes about 150)."
            )
        self._workers = workers
        self._seconds = seconds
        self._memory = memory_mb * 2**20
        self._scorer = scorer
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None
        self._owner = os.getpid()
        self._closed = False
        self._last_result = monotonic()

    def check_all(self, items: Sequence[Item]) -> list[Findings]:
        """The findings of each trace, in order. Raises TracemillError if no child can be kept alive."""
        findings: dict[int, Findings] = {}
        for index, item in enumerate(items):
            if _length(item) > MAX_TEXT:
                findings[index] = check(item)  # refused unread, so no child is needed
        waiting = list(self._batches(items, [index for index in range(len(items)) if index not in findings]))
        rebuilds = 0
        while waiting:
            pool = self._running()
            failed: list[list[int]] = []
            broken = False
            for batch, outcome in self._run(pool, [(batch, [items[index] for index in batch]) for batch in waiting]):
                if isinstance(outcome, list):
                    findings.update(zip(batch, outcome, strict=True))
                elif outcome is None:
                    broken = True
                    failed.append(batch)
                elif len(batch) > 1:
                    failed += [[index] for index in batch]
                else:
                    findings[batch[0]] = Findings(None, outcome, seconds=self._seconds, error=outcome)
            if broken:
                rebuilds += 1
                if rebuilds > MAX_REBUILDS:
                    raise TracemillError(
                        f"The check processes died {rebuilds} times in a row without a result. Look for an "
                        "out-of-memory killer in the system log, or start fewer workers."
                    )
                self._discard(pool)
            waiting = failed
        return [findings[index] for index in range(len(items))]

    def group(self, answers: Sequence[str], kind: Kind) -> list[int]:
        """A number for each answer, the same for answers that mean the same (`voting.groups`).

        If the comparison exceeds its limits, answers are the same only if their texts are.
        """
        shortened = [answer[:MAX_ANSWER] for answer in answers]
        for _ in range(2):
            pool = self._running()
            try:
                future = pool.schedule(groups, args=(shortened, kind), timeout=self._seconds)
            except RuntimeError:  # the pool stopped or broke meanwhile
                self._discard(pool)
                continue
            wait([future], timeout=self._seconds + STALL_SECONDS)
            if future.done() and not future.cancelled() and future.exception() is None:
                return list(future.result())
            break
        texts = list(dict.fromkeys(answers))
        return [texts.index(answer) for answer in answers]

    def close(self) -> None:
        """End the children. Calls that are still running raise."""
        with self._lock:
            self._closed = True
            pool = self._pool
        if pool is not None:
            self._discard(pool)

    def _batches(self, items: Sequence[Item], indices: list[int]) -> Iterator[list[int]]:
        size = min(BATCH, max(1, math.ceil(len(indices) / self._workers)))
        batch: list[int] = []
        chars = 0
        for index in indices:
            length = _length(items[index])
            if batch and (len(batch) == size or chars + length > BATCH_CHARS):
                yield batch
                batch, chars = [], 0
            batch.append(index)
            chars += length
        if batch:
            yield batch

    def _run(
        self, pool: "ProcessPool", batches: list[tuple[list[int], list[Item]]]
    ) -> Iterator[tuple[list[int], list[Findings] | str | None]]:
        """Each batch with its findings, or why its child was killed, or None if the pool broke under it."""
        futures: dict[Future[list[Findings]], list[int]] = {}
        for batch, items in batches:
            try:
                futures[pool.schedule(check_batch, args=(items,), timeout=self._seconds)] = batch
            except RuntimeError:  # the pool stopped or broke meanwhile
                yield batch, None
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
            if done:
                self._last_result = monotonic()
            for future in done:
                yield futures[future], self._outcome(future)
            # A pebble pool that breaks forgets the tasks that it has not sent, so a wait for them would never end.
            is_stalled = monotonic() - self._last_result > self._seconds + STALL_SECONDS
            if pending and not done and (is_stalled or not pool.active):
                for future in pending:
                    yield futures[future], None
                return

    def _outcome(self, future: "Future[list[Findings]]") -> list[Findings] | str | None:
        from pebble import ProcessExpired

        error = future.exception() if not future.cancelled() else None
        if future.cancelled() or isinstance(error, RuntimeError):  # BrokenProcessPool is one
            return None
        if error is None:
            return future.result()
        if isinstance(error, TimeoutError):
            return f"timeout after {self._seconds:g} s"
        if isinstance(error, ProcessExpired):
            return "killed: memory" if error.exitcode == OUT_OF_MEMORY else f"killed: exit code {error.exitcode}"
        return f"check failed: {type(error).__name__}"

    def _running(self) -> "ProcessPool":
        from pebble import ProcessPool

        with self._lock:
            if self._closed:
                raise TracemillError("This CheckPool is closed. Make a new one.")
            pool = self._pool
            if pool is None or self._owner != os.getpid():  # after a fork the children belong to the parent
                self._owner = os.getpid()
                allow_children()
                self._last_result = monotonic()
                context = CheckContext()
                pool = self._pool = ProcessPool(
                    max_workers=self._workers,
                    context=context,
                    initializer=_start_child,
                    initargs=(self._memory, self._scorer),
                )
                # At its end a process kills its children and waits for them (multiprocessing), while pebble replaces
                # children that ended. So the pool must end first, or the wait may never end.
                self._end = util.Finalize(None, _end, (pool, context), exitpriority=10)
            return pool

    def _discard(self, pool: "ProcessPool") -> None:
        with self._lock:
            is_current = self._pool is pool
            if is_current:
                self._pool = None
        if is_current:  # otherwise another thread has discarded it
            self._end()


def _start_child(memory_bytes: int, scorer: str | None) -> None:
    settle_child(memory_bytes)
    if scorer is not None:
        with suppress(Exception):  # the first trace reports it
            load(scorer)


def _end(pool: "ProcessPool", context: CheckContext) -> None:
    pool.stop()
    # pebble removes the locks of the children before it ends them: a child that has just started would not find them.
    context.kill_children()
    pool.join()


def _length(item: Item) -> int:
    return len(item.text) + len(item.gold or "") + len(item.question or "") + sum(map(len, item.steps))


def check_batch(items: list[Item]) -> list[Findings]:
    """In the child: the findings of each item. A child that is out of memory ends, because its heap is unreliable."""
    try:
        return [check(item) for item in items]
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
