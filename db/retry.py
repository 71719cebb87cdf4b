"""Retry database work, so that restarts, failovers, a full disk or too many connections lose no results."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds before the second attempt, and the longest pause before a later one. Jitter separates the workers.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0

#: The server is read-only, as during a failover.
READ_ONLY = "25006"
#: The session was idle in a transaction for too long, as after a pause of its process.
IDLE_SESSION = "25P03"


def sqlstate(error: BaseException | None) -> str | None:
    """The SQLSTATE of an error of SQLAlchemy; None if it has none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def is_away(error: BaseException) -> bool:
    """Whether Postgres cannot do any work now: the same statement may succeed later.

    These are faults of the connection (SQLSTATE class 08), conflicts with other sessions (40, 55P03), too few resources
    (53), a server that starts, stops or fails (57, 58), and a server that is read-only during a failover (25006). An
    error of a statement or of its data is not among them.
    """
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        return True
    return isinstance(error, DBAPIError) and sqlstate(error) in (READ_ONLY, IDLE_SESSION)


def reason(error: BaseException) -> str:
    """The first line of Postgres's own words."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__


def patiently(work: Callable[[], T]) -> T:
    """The result of `work`, repeated until Postgres accepts it (`is_away`). `work` must do all or nothing."""
    pause = FIRST_PAUSE
    while True:
        try:
            return work()
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("Postgres cannot do it now, trying again: %s", reason(error))
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, LONGEST_PAUSE)
