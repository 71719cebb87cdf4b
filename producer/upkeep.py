"""What the feeder does beside its steps: it ends long readers, adds up the counts of jobs, and fits their priors."""

import logging
from collections.abc import Callable
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.session import statement, transaction
from producer.priors import fit_priors
from tracemill.concurrency import Periodic
from tracemill.errors import reason_of
from tracemill.settings import settings

log = logging.getLogger(__name__)

#: Seconds between two runs.
INTERVAL = 5.0
#: Rows of `job_counts` that a job may have before they are added up.
MAX_CHANGES = 50


def keep_up(leads: Callable[[], bool]) -> Periodic:
    """Start the upkeep. The caller stops it. Only a feeder that leads fits priors."""
    return Periodic("upkeep", INTERVAL, partial(_run, leads))


def _run(leads: Callable[[], bool]) -> None:
    try:
        _end_long_reads()
        add_up_counts()
        if leads():
            fit_priors()
    except SQLAlchemyError as error:  # the next run tries again
        log.warning("could not look after readers, counts and priors: %s", reason_of(error))


def _end_long_reads() -> None:
    """End transactions of the read-only role that last too long.

    A session of Postgres can raise its own timeouts, so a timeout of the role is no limit. While a transaction lasts,
    Postgres keeps every dead row, and each statement of the feeder reads them again.
    """
    with statement() as connection:
        ended = connection.execute(Q["end_long_reads"], {"seconds": settings().feeder.reader_seconds}).all()
    for row in ended:
        log.warning("ended a transaction of the read-only role after %.0f s: %s", row.seconds, row.query)


def add_up_counts() -> None:
    """Replace many changes of a job's counts by their sum."""
    with transaction() as connection:
        connection.execute(Q["add_up_counts"], {"most": MAX_CHANGES})
