"""`@once`: a value made at first use, exactly one a process.

`functools.cache` may call its function twice when two threads come at once: two event loops, two owners of one worker's
claims, two pools of children. Here the second thread waits.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class once(Generic[T]):
    """Wrap a function without parameters: called once, its value kept until `cache_clear()`."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made = False
        self.__doc__ = make.__doc__

    def __call__(self) -> T:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._value = self._make()
                    self._made = True
        return self._value

    def cache_clear(self) -> None:
        """Forget the value; also right in a forked child, where another thread may have held the lock."""
        self._lock = threading.Lock()
        self._made = False
