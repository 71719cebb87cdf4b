"""Shut a worker down (SIGTERM): it starts no new work, and has `grace_seconds` for the work that it holds.

Then it hands the rest back. Celery alone waits without a limit, and still starts tasks that it has fetched.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from celery.signals import worker_shutting_down

from tracemill.celery import shutting_down
from tracemill.engines.registry import end_worker
from tracemill.errors import EngineDead
from tracemill.settings import settings
from workers.pause import is_paused

log = logging.getLogger(__name__)

_hand_back: list[Callable[[], None]] = []


def draining() -> bool:
    """Whether this worker shuts down or is paused. A task that starts now hands its work back."""
    return shutting_down.is_set() or is_paused()


def at_the_end(hand_back: Callable[[], None]) -> Callable[[], None]:
    """Register a function that hands work back after `grace_seconds`. It must be quick."""
    _hand_back.append(hand_back)
    return hand_back


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery is not typed
def _begin(**_: Any) -> None:
    if _ending.ident is None:  # a second SIGTERM changes nothing
        _ending.start()


def _end() -> None:
    time.sleep(settings().grace_seconds)
    log.warning("not finished after %g s (grace_seconds): handing the rest back", settings().grace_seconds)
    _hand_all_back()
    # Threads that wait for an engine cannot be stopped; the engine's processes end with this process.
    os._exit(0)


def _hand_all_back() -> None:
    for hand_back in _hand_back:
        try:
            hand_back()
        except Exception as error:  # the leases bring the work back later
            log.warning("could not hand back: %s", error)


_dying = threading.Lock()


def engine_died(error: EngineDead, blame: Callable[[], None] = lambda: None) -> NoReturn:
    """End this worker, because an engine died: count the death (`blame`), and hand back all that the worker holds.

    The first thread does it. All others wait here for the end of the process.
    """
    with _dying:
        blame()
        _hand_all_back()
        end_worker(error)


_ending = threading.Thread(target=_end, name="tracemill-shutdown", daemon=True)
