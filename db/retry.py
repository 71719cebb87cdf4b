"""Wait for Postgres: work that was paid for outlives its restarts, a full disk, and too many connections."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds before the second attempt and, at most, before a later one. Jitter keeps workers from coming all at once.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


def patiently(work: Callable[[], T]) -> T:
    """The result of `work`, which is done again until Postgres lets it. It must do all or nothing.

    Only faults of the server and of the way to it are waited for (SQLSTATE classes 08, 40, 53, 57): what is wrong with
    a statement or its data is raised at once.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            why = str(getattr(error, "orig", None) or error).splitlines()[0]
            log.warning("Postgres does not take it, trying again: %s", why)
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, LONGEST_PAUSE)
