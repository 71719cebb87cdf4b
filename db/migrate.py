"""Bring a database to the schema of this code, with Alembic."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError

import migrations
from db import counts, views
from db.retry import reason, sqlstate
from db.schema import revision_of, revisions
from db.tables import Base
from tracemill.errors import UsageError
from tracemill.stack import Stack

#: Key of the advisory lock that lets only one process migrate at a time.
LOCK = 0x7261636D
_DEADLOCK = "40P01"  # SQLSTATE

P = ParamSpec("P")

log = logging.getLogger(__name__)


def _repeated_after_deadlock(migrate: Callable[P, None]) -> Callable[P, None]:
    """Repeat a migration that met running processes which lock the same tables in another order."""

    @wraps(migrate)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> None:
        while True:
            try:
                return migrate(*args, **kwargs)
            except OperationalError as error:
                if sqlstate(error) != _DEADLOCK:
                    raise
                log.warning("the migration starts again: %s", reason(error))

    return repeated


def prepare(stack: Stack) -> None:
    """Migrate the local stack's database to this code's schema."""
    upgrade(stack.database_url)


@_repeated_after_deadlock
def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database at `url` (a SQLAlchemy address) up to `revision`; at `head`, create the views.

    All or nothing. Raises StackError if a user's view reads one of ours.
    """
    with _locked(url) as connection:
        current = revision_of(connection) == revisions()[-1]
        if revision == "head" and current and views.are_current(connection):
            return
        views.drop(connection)
        command.upgrade(_config(connection), revision)
        if revision == "head":
            views.create(connection)
    if revision == "head":
        # Not in the transaction above, because it reads all traces and the processes would wait.
        with _engine(url).begin() as connection:
            counts.differences(connection, correct=True)


@_repeated_after_deadlock
def downgrade(url: str, revision: str) -> None:
    """Migrate the database at `url` down to `revision`; `base` leaves no table.

    Views and functions are dropped, because they fit only the current tables. Raises UsageError for an unknown
    revision.
    """
    known = ["base", *revisions()]
    if revision not in known:
        raise UsageError(f"no revision '{revision}' of the schema; choose {', '.join(known)}")
    with _locked(url) as connection:
        views.drop(connection)
        command.downgrade(_config(connection), revision)


def differences(url: str) -> list[object]:
    """The differences between the database and `db.tables` and `db.views`; empty if there are none."""
    with _engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        tables = list(compare_metadata(context, Base.metadata))
        return tables if views.are_current(connection) else [*tables, "the views are not those of this version"]


@contextmanager
def _locked(url: str) -> Iterator[Connection]:
    """A transaction that only one process can have at a time."""
    with _engine(url).begin() as connection:
        connection.exec_driver_sql(f"select pg_advisory_xact_lock({LOCK})")
        yield connection


def _engine(url: str) -> Engine:
    from sqlalchemy.pool import NullPool

    # A migration has its own session and no limits, also if the application's role runs it.
    limits = " ".join(f"-c {name}=0" for name in ("idle_in_transaction_session_timeout", "lock_timeout"))
    return create_engine(url, poolclass=NullPool, connect_args={"options": limits})


def _config(connection: object) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config
