"""Retry database work, so that restarts, a full disk or too many connections lose no results."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds before the second attempt, and the longest pause before a later one. Jitter separates the workers.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


def patiently(work: Callable[[], T]) -> T:
    """The result of `work`, repeated until Postgres accepts it. `work` must do all or nothing.

    It retries only faults of the server and the connection (SQLSTATE classes 08, 40, 53, 57). Errors of a statement or
    its data are raised at once.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            why = str(getattr(error, "orig", None) or error).splitlines()[0]
            log.warning("Postgres cannot do it now, trying again: %s", why)
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, LONGEST_PAUSE)
