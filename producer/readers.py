"""Ends transactions of the read-only role that last too long.

A session of Postgres can raise its own timeouts, so a timeout of the role is no limit. While a transaction lasts,
Postgres keeps every dead row, and each statement of the feeder reads them again.
"""

import logging

from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.session import statement
from tracemill.concurrency import Periodic
from tracemill.errors import reason_of
from tracemill.settings import settings

log = logging.getLogger(__name__)

#: Seconds between two looks at the sessions.
INTERVAL = 5.0


def limit_readers() -> Periodic:
    """Start to watch the sessions of the read-only role. The caller stops it."""
    return Periodic("readers", INTERVAL, _end_long_reads)


def _end_long_reads() -> None:
    try:
        with statement() as connection:
            ended = connection.execute(Q["end_long_reads"], {"seconds": settings().feeder.reader_seconds}).all()
    except SQLAlchemyError as error:  # the next look tries again
        log.warning("could not look for long transactions of the read-only role: %s", reason_of(error))
        return
    for row in ended:
        log.warning("ended a transaction of the read-only role after %.0f s: %s", row.seconds, row.query)
