"""A limit of work for Python code that has none of its own, such as sympy.

The work is counted in calls of Python functions, so the same code ends at the same call on every machine. The limit
works in every thread. It does not see the time inside one call of C code.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import CO_GENERATOR
from types import FrameType


class TooManyCalls(BaseException):
    """The limit is reached. No `except Exception` of the limited code catches it."""


@contextmanager
def call_limit(max_calls: int) -> Iterator[None]:
    """Raise `TooManyCalls` in the block once it has called Python functions `max_calls` times."""
    n_calls = 0

    def at_call(frame: FrameType, event: str, argument: object) -> None:
        nonlocal n_calls
        n_calls += 1
        # An error in a generator that is being closed would be ignored, and the limit with it.
        if n_calls > max_calls and not frame.f_code.co_flags & CO_GENERATOR:
            raise TooManyCalls

    previous = sys.gettrace()
    sys.settrace(at_call)
    try:
        yield
    finally:
        sys.settrace(previous)
