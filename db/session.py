"""Connections to Postgres: one pool for each process, and short transactions.

No task has an open transaction while it waits for a model. Only prepared statements are kept in a session from one
transaction to the next, and behind a pooler such as pgbouncer nothing, because it gives each transaction another
session. The settings of all sessions belong to the role (`tracemill.roles`).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import NullPool

from db.retry import READ_ONLY
from tracemill.concurrency import once
from tracemill.errors import no_postgres
from tracemill.keepalive import POSTGRES_CLIENT
from tracemill.settings import settings

#: Connections of a process, whose threads wait for a free one. A thread that holds one must not ask for another: two
#: such threads would wait for each other. Only a step of a loop does so, and a trainer makes one at a time.
MAX_CONNECTIONS = 2


@once
def engine() -> Engine:
    """The connection pool of this process. Raises StackError if no database is configured."""
    url = settings().database_url
    if url is None:
        raise no_postgres("database_url (TRACEMILL_DATABASE_URL)")
    made = create_engine(
        url.get_secret_value(),
        pool_size=MAX_CONNECTIONS,
        max_overflow=0,
        connect_args={"application_name": "tracemill", **POSTGRES_CLIENT},
    )
    event.listen(made, "connect", _notice_pooler)
    event.listen(made, "handle_error", _leave_read_only_server)
    event.listen(made, "checkin", _note_idle)
    event.listen(made, "checkout", _ping)
    return made


def _notice_pooler(connection: Any, record: Any) -> None:
    """Prepare no statements behind a pooler, which is recognised by the id of a process that is not the session's.

    The next transaction has another session, which knows no statement of this one. Without a pooler, prepared
    statements save Postgres up to two thirds of the time of a claim.
    """
    pid = connection.execute("select pg_backend_pid()").fetchone()[0]
    connection.commit()
    if pid != connection.info.backend_pid:
        connection.prepare_threshold = None


def _leave_read_only_server(context: ExceptionContext) -> None:
    """Replace all connections to a server that became read-only: after a failover another one is the primary."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


#: Ping a connection that was idle longer than this, in seconds. SQLAlchemy's `pool_pre_ping` pings each time, which is
#: a third of the round trips of a short transaction.
IDLE_SECONDS = 1.0


def _note_idle(connection: Any, record: Any) -> None:
    record.info["idle_since"] = time.monotonic()


def _ping(connection: Any, record: Any, proxy: Any) -> None:
    """Use an idle connection only if Postgres still answers on it. Otherwise the pool makes a new one."""
    if time.monotonic() - record.info.get("idle_since", time.monotonic()) > IDLE_SECONDS:
        try:
            connection.execute("select 1")
            connection.rollback()
        except Exception as error:  # psycopg also raises errors of the socket
            raise DisconnectionError from error


# A forked child (Celery's prefork pool) must not share a connection with its parent. It opens its own.
os.register_at_fork(after_in_child=engine.cache_clear)


@contextmanager
def statement() -> Iterator[Connection]:
    """A connection with one transaction for each statement: one round trip instead of three."""
    with engine().connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection with a transaction. It commits at the end of the block, or rolls back on an exception."""
    with engine().begin() as connection:
        yield connection


@contextmanager
def reader() -> Iterator[Connection]:
    """A connection for long reads of the views: of the read-only role, perhaps to a replica, if `reader_url` is set.

    It is not of the pool. Each statement is a transaction of its own, so none lasts longer than its statement.
    """
    with reader_engine(poolclass=NullPool).connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def reader_engine(**pool: Any) -> Engine:
    """Connections of the read-only role, perhaps to a replica, if `reader_url` is set. `pool`: SQLAlchemy's options."""
    url = settings().reader_url or settings().database_url
    if url is None:
        raise no_postgres("reader_url")
    address = make_url(url.get_secret_value()).set(drivername="postgresql+psycopg")
    options = {"application_name": "tracemill", "prepare_threshold": None, **POSTGRES_CLIENT}
    return create_engine(address, connect_args=options, **pool)
