"""What a worker does when it is asked to end (SIGTERM): no new work, and some time for what it holds.

Then it hands back what is left. Celery alone waits for ever, and still starts what it has fetched.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from celery.signals import worker_shutting_down

from tracemill.settings import settings

log = logging.getLogger(__name__)

_asked = threading.Event()
_hand_back: list[Callable[[], None]] = []


def draining() -> bool:
    """Whether this worker was asked to end: a task that only starts now gives its work back."""
    return _asked.is_set()


def at_the_end(hand_back: Callable[[], None]) -> Callable[[], None]:
    """Register what gives back the work in hand when the time of grace is over. It must not take long."""
    _hand_back.append(hand_back)
    return hand_back


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery is not typed
def _begin(**_: Any) -> None:
    if not _asked.is_set():
        _asked.set()
        threading.Thread(target=_end, name="tracemill-drain", daemon=True).start()


def _end() -> None:
    time.sleep(settings().grace_seconds)
    log.warning("not finished after %g s (grace_seconds): handing the rest back", settings().grace_seconds)
    for hand_back in _hand_back:
        try:
            hand_back()
        except Exception as error:  # the leases bring it back, later
            log.warning("could not hand back: %s", error)
    # Threads that wait for an engine cannot be ended in an orderly way; the engine's processes end with this one.
    os._exit(0)
