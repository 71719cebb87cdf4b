"""Memory of the verifier over many traces."""

import os
from itertools import islice

import psutil
import pytest

from benchmarks.traces import gsm8k_like, math_like
from tracemill.verification.checks import Item
from tracemill.verification.pool import CheckPool

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MB = 2**20


def test_memory_grows_by_under_32_mb_over_100000_traces() -> None:
    """The first traces fill the caches of the children. Then memory may not grow."""
    pool = CheckPool(2)
    traces = (
        Item(trace.text, trace.gold, trace.question)
        for pair in zip(gsm8k_like(50_000), math_like(50_000), strict=True)
        for trace in pair
    )
    sizes = []
    try:
        for _ in range(10):
            for _ in range(10):
                pool.check_all(list(islice(traces, 1_000)))
            own_process = psutil.Process(os.getpid())
            sizes.append(
                sum(process.memory_info().rss for process in [own_process, *own_process.children(recursive=True)])
            )
    finally:
        pool.close()
    assert next(traces, None) is None
    print([round(size / MB) for size in sizes])
    assert sizes[-1] - sizes[1] < 32 * MB
