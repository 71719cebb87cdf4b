"""Connections to Postgres: one pool a process, short transactions.

No task holds a transaction open while it waits for a model.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine

from tracemill.errors import StackError
from tracemill.once import once
from tracemill.settings import settings


@once
def engine() -> Engine:
    """This process's connection pool. Raises StackError when no database is configured."""
    url = settings().database_url
    if url is None:
        raise StackError(
            "no Postgres: start the local stack with `tracemill up`, or set database_url (TRACEMILL_DATABASE_URL)"
        )
    return create_engine(
        url.get_secret_value(),
        pool_size=8,
        max_overflow=8,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10, "application_name": "tracemill"},
    )


# A connection must not be shared with a forked child (Celery's prefork pool): the child opens its own.
os.register_at_fork(after_in_child=engine.cache_clear)


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection with a transaction that commits at the end of the block, or rolls back on an exception."""
    with engine().begin() as connection:
        yield connection
