"""The verifier's memory over many traces."""

import os
from itertools import islice

import psutil
import pytest

from benchmarks.traces import gsm8k_like, math_like
from tracemill.verification.checks import Item
from tracemill.verification.pool import CheckPool

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MB = 2**20


def test_a_hundred_thousand_traces_leave_the_memory_where_it_was() -> None:
    """The children's caches fill over the first traces; from then on nothing may grow."""
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
            me = psutil.Process(os.getpid())
            sizes.append(sum(process.memory_info().rss for process in [me, *me.children(recursive=True)]))
    finally:
        pool.close()
    assert next(traces, None) is None
    print([round(size / MB) for size in sizes])
    assert sizes[-1] - sizes[1] < 32 * MB
