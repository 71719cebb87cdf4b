"""Bring a database to the schema of this code, with Alembic, while the processes work.

A migration changes the tables in one transaction. It must be short: it waits a moment for each lock, and all of it is
repeated if somebody else held one. What takes long comes after it and locks nothing: the indexes, then the counts.

A migration with `is_additive = True` only adds what the code before it can ignore. So that code works with the new
schema. What it no longer needs is removed by a migration of a later release.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex

import migrations
from db import counts, views
from db.retry import reason, sqlstate
from db.schema import compatibility, revision_of, revisions
from db.tables import Base
from tracemill.errors import StackError, UsageError
from tracemill.stack import Stack

#: Key of the advisory lock that lets only one process migrate at a time.
LOCK = 0x7261636D
#: SQLSTATE of a deadlock, and of a lock that was not free within `LOCK_TIMEOUT`.
_CONFLICTS = ("40P01", "55P03")
#: While a migration waits for a table that a long query reads, all processes wait behind it. So it waits at most so
#: long, and lets them work for `PAUSE` seconds before it tries again.
LOCK_TIMEOUT, PAUSE = "2s", 1.0
#: The indexes of the schema, and whether each was built to its end.
INDEXES = """
select c.relname, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
where c.relnamespace = (select oid from pg_namespace where nspname = current_schema())
"""

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


def _repeated(work: Callable[P, T]) -> Callable[P, T]:
    """Repeat work that met processes which lock the same tables for long or in another order."""

    @wraps(work)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            try:
                return work(*args, **kwargs)
            except OperationalError as error:
                if sqlstate(error) not in _CONFLICTS:
                    raise
                log.warning("the migration starts again: %s", reason(error))
                time.sleep(PAUSE)

    return repeated


def prepare(stack: Stack) -> None:
    """Migrate the local stack's database to this code's schema."""
    upgrade(stack.database_url)


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database at `url` (a SQLAlchemy address) up to `revision`; at `head`, create the views and indexes.

    The tables and views change together or not at all. Raises StackError if a user's view reads one of ours, or if the
    database is newer than this code.
    """
    with _locked(url) as connection:
        is_changed = _upgrade_tables(connection, revision)
        if revision == "head":
            _build_indexes(connection)
    if is_changed and revision == "head":
        with _engine(url).begin() as connection:
            counts.differences(connection, correct=True)


@_repeated
def _upgrade_tables(connection: Connection, revision: str) -> bool:
    """Change the tables and views in one transaction. Returns False if the database already is at `head`."""
    config = _config(connection)
    with _short_waits(connection):
        current = revision_of(connection)
        if current is not None and current not in revisions():
            raise StackError(
                f"the database's schema is {current}, and this code's is {revisions()[-1]}: this Tracemill is older "
                "than the database, install the newer version here"
            )
        sentence = f"works with code from revision {_oldest_code(config)}"
        is_current = current == revisions()[-1] and views.are_current(connection)
        if revision == "head" and is_current and compatibility(connection) == sentence:
            return False
        views.drop(connection)
        command.upgrade(config, revision)
        if revision == "head":
            views.create(connection)
            connection.exec_driver_sql(f"comment on table alembic_version is '{sentence}'")
    return True


def _oldest_code(config: Config) -> str:
    """The revision of the oldest code that works with the newest schema: the newest one that is not additive."""
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    return next(script.revision for script in scripts if not getattr(script.module, "is_additive", False))


@_repeated
def _build_indexes(connection: Connection) -> None:
    """Build each index of `db.tables` that the database lacks, while others write to its table."""
    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
    existing: dict[str, bool] = {row.relname: row.indisvalid for row in connection.execute(text(INDEXES))}
    for index in (index for table in Base.metadata.sorted_tables for index in table.indexes):
        if existing.get(str(index.name)) is False:  # of an upgrade that was killed
            connection.exec_driver_sql(f"drop index concurrently {index.name}")
        if not existing.get(str(index.name)):
            creation = str(CreateIndex(index).compile(dialect=connection.dialect))
            connection.exec_driver_sql(creation.replace(" INDEX ", " INDEX CONCURRENTLY ", 1))


def downgrade(url: str, revision: str) -> None:
    """Migrate the database at `url` down to `revision`; `base` leaves no table.

    Views and functions are dropped, because they fit only the current tables. Raises UsageError for an unknown
    revision.
    """
    known = ["base", *revisions()]
    if revision not in known:
        raise UsageError(f"no revision '{revision}' of the schema; choose {', '.join(known)}")
    with _locked(url) as connection:
        _downgrade_tables(connection, revision)


@_repeated
def _downgrade_tables(connection: Connection, revision: str) -> None:
    with _short_waits(connection):
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
    """A session that only one process can have at a time."""
    with _engine(url).connect() as connection:
        # A statement that waits for the lock would keep an index of its holder from being built.
        while not connection.exec_driver_sql(f"select pg_try_advisory_lock({LOCK})").scalar_one():
            connection.rollback()
            time.sleep(PAUSE)
        connection.commit()
        yield connection


@contextmanager
def _short_waits(connection: Connection) -> Iterator[None]:
    """A transaction that waits for no lock longer than `LOCK_TIMEOUT`."""
    with connection.begin():
        connection.exec_driver_sql(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
        yield


def _engine(url: str) -> Engine:
    from sqlalchemy.pool import NullPool

    # A migration has its own session and no limits, also if the application's role runs it.
    limits = " ".join(f"-c {name}=0" for name in ("idle_in_transaction_session_timeout", "lock_timeout"))
    options = f"{make_url(url).query.get('options', '')} {limits}"
    return create_engine(url, poolclass=NullPool, connect_args={"options": options})


def _config(connection: object) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config
