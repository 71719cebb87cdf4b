"""Whole traces that one core verifies a second, with all checks that need no model, compared with math-verify alone.

math-verify does less: it extracts and compares the final answer. It runs as its authors call it, without the killable
child that it needs in production. Both check the same traces, in turn, in one process on one core.
"""

import os
import time
from collections.abc import Callable, Sequence

from benchmarks.common import main
from benchmarks.traces import Trace, gsm8k_like, math_like
from tracemill.verification.checks import Item, check

REPEATS = 5


def measure(quick: bool) -> dict[str, float]:
    """Traces a second, the best of five runs each: noise can only slow a run down."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    gsm8k = list(gsm8k_like(1_000 if quick else 4_000))
    math = list(math_like(240 if quick else 1_200))
    figures: dict[str, float] = {}
    for name, traces in (("gsm8k_like", gsm8k), ("math_like", math)):
        figures[f"{name}_per_s"], figures[f"{name}_agreement"] = _rate(_ours, traces)
        few = traces[: len(traces) // 4]
        figures[f"math_verify_{name}_per_s"], figures[f"math_verify_{name}_agreement"] = _rate(_math_verify, few)
    return figures


def _rate(verify: Callable[[Trace], bool], traces: Sequence[Trace]) -> tuple[float, float]:
    """Traces a second, and the share of traces whose verdict is the true one."""
    verify(traces[0])
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        right = sum(verify(trace) == trace.right for trace in traces)
        best = min(best, time.perf_counter() - start)
    return len(traces) / best, right / len(traces)


def _ours(trace: Trace) -> bool:
    return check(Item(trace.text, trace.gold, trace.question)).correct is True


def _math_verify(trace: Trace) -> bool:
    from math_verify import parse, verify

    return bool(verify(parse(f"${trace.gold}$"), parse(trace.text)))


if __name__ == "__main__":
    main("verification", measure)
