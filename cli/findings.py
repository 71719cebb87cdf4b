"""What an examination of this machine found: one line each, with the remedy."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    #: `broken` if something needed is missing, `warning` if the factory works without it.
    state: Literal["ok", "warning", "broken"]
    result: str
    #: The remedy; empty if the state is `ok`.
    advice: str = ""


def lacking(check: str, result: str, advice: str, *, is_needed: bool) -> Finding:
    """A problem: `broken` if the settings need this part, otherwise a warning."""
    return Finding(check, "broken" if is_needed else "warning", result, advice)


def in_time(calls: Mapping[str, Callable[[], T]], seconds: float) -> dict[str, T]:
    """The results of the calls that return within `seconds`, by name. All run at the same time.

    A call that hangs, for example in the name service, is left behind in a daemon thread. An exception counts as no
    result, so the calls handle their own errors.
    """
    results: queue.SimpleQueue[tuple[str, T]] = queue.SimpleQueue()
    for name, call in calls.items():
        work = threading.Thread(target=lambda name=name, call=call: results.put((name, call())), daemon=True)
        work.start()
    done: dict[str, T] = {}
    deadline = time.monotonic() + seconds
    while len(done) < len(calls):
        try:
            name, result = results.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        done[name] = result
    return done
