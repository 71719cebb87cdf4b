"""Connections to Postgres: one pool a process, short transactions.

No task holds a transaction open while it waits for a model.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from tracemill.concurrency import once
from tracemill.errors import StackError
from tracemill.keepalive import POSTGRES_CLIENT, POSTGRES_SERVER
from tracemill.settings import settings


@once
def engine() -> Engine:
    """This process's connection pool. Raises StackError when no database is configured."""
    url = settings().database_url
    if url is None:
        raise StackError(
            "no Postgres: start the local stack with `tracemill up`, or set database_url (TRACEMILL_DATABASE_URL)"
        )
    made = create_engine(
        url.get_secret_value(),
        pool_size=8,
        max_overflow=8,
        connect_args={"application_name": "tracemill", **POSTGRES_CLIENT},
    )
    event.listen(made, "connect", _let_go)
    event.listen(made, "checkin", _rested)
    event.listen(made, "checkout", _ping)
    return made


def _let_go(connection: Any, record: Any) -> None:
    """Have Postgres end the session, and give its locks to others, soon after this process was cut off."""
    connection.execute("select " + ", ".join(f"set_config('{k}', '{v}', false)" for k, v in POSTGRES_SERVER.items()))
    connection.commit()


#: Seconds of rest after which a connection is tried before it is used. SQLAlchemy's own `pool_pre_ping` tries it every
#: time, which is a third of the round trips of a short transaction.
RESTED = 1.0


def _rested(connection: Any, record: Any) -> None:
    record.info["rested_since"] = time.monotonic()


def _ping(connection: Any, record: Any, proxy: Any) -> None:
    """Take a connection that was at rest only if Postgres still answers on it; the pool then makes a new one."""
    if time.monotonic() - record.info.get("rested_since", time.monotonic()) > RESTED:
        try:
            connection.execute("select 1")
            connection.rollback()
        except Exception as error:  # psycopg raises whatever the socket did
            raise DisconnectionError from error


# A connection must not be shared with a forked child (Celery's prefork pool): the child opens its own.
os.register_at_fork(after_in_child=engine.cache_clear)


@contextmanager
def statement() -> Iterator[Connection]:
    """A connection on which each statement is a transaction of its own: one round trip instead of three."""
    with engine().connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection with a transaction that commits at the end of the block, or rolls back on an exception."""
    with engine().begin() as connection:
        yield connection
