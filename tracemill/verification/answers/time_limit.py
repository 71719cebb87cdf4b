"""A limit of CPU time for Python code that has none of its own, such as sympy. Works in every thread."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import CO_GENERATOR
from time import thread_time
from types import FrameType

CALLS = 64  # between two looks at the clock


class OutOfTime(BaseException):
    """The limit is over. No `except Exception` of the limited code catches it."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the block after `seconds` of this thread's CPU time, at a call of a Python function."""
    end = thread_time() + seconds
    n_calls = 0

    def at_call(frame: FrameType, event: str, argument: object) -> None:
        nonlocal n_calls
        n_calls += 1
        # An error in a generator that is being closed would be ignored, and the limit with it.
        if n_calls >= CALLS and not frame.f_code.co_flags & CO_GENERATOR:
            n_calls = 0
            if thread_time() > end:
                raise OutOfTime

    previous = sys.gettrace()
    sys.settrace(at_call)
    try:
        yield
    finally:
        sys.settrace(previous)
