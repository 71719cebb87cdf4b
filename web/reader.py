"""Connections of the page to Postgres: as the read-only role, few, and each statement with a time limit."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.retry import is_away, reason, sqlstate
from db.session import reader_engine
from tracemill.errors import StackError, no_postgres, unreachable
from tracemill.settings import settings

#: Connections of the page. The reader's role has at most 20 for everybody.
MAX_CONNECTIONS = 4
#: Seconds that a request waits for a free connection.
POOL_SECONDS = 10
#: Seconds of a statement of the page. The reader's role allows minutes, because people also write SQL.
STATEMENT_SECONDS = 10
#: SQLSTATE of a statement that took too long.
TIMED_OUT = "57014"


class Reader:
    """The connections of one page."""

    def __init__(self) -> None:
        """Raises StackError if no database is configured, or if it cannot be reached."""
        if settings().reader_url is None:
            raise no_postgres("reader_url", ", or name a file of traces")
        self._engine = reader_engine(pool_size=MAX_CONNECTIONS, max_overflow=0, pool_timeout=POOL_SECONDS)
        with self.reading() as connection:
            connection.execute(text("select from question_results limit 0"))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises StackError with a sentence."""
        try:
            with self._engine.connect() as connection:
                limit = f"set transaction read only; set local statement_timeout = '{STATEMENT_SECONDS}s'"
                connection.exec_driver_sql(limit)
                yield connection
        except PoolTimeout:
            raise StackError("Postgres is busy with other pages: reload this one in a moment") from None
        except ProgrammingError as error:
            raise StackError(
                f"the views are not those of this version ({reason(error)}): run `tracemill db upgrade`"
            ) from None
        except DBAPIError as error:
            if sqlstate(error) == TIMED_OUT:
                raise StackError(
                    f"this took longer than {STATEMENT_SECONDS} s: few traces pass these filters, or Postgres is busy"
                ) from None
            if not is_away(error):
                raise
            raise unreachable("Postgres", reason(error)) from None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()
