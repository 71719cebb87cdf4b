"""Bring a database to the schema of this code, with Alembic."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine

import migrations
from db.tables import Base
from tracemill.errors import StackError, UsageError
from tracemill.stack import Stack

#: Two processes that migrate at once wait for each other on this advisory lock.
LOCK = 0x7261636D


def prepare(stack: Stack) -> None:
    """Bring the local stack's database to this code's schema."""
    upgrade(stack.database_url)


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database at `url` (a SQLAlchemy address) up to `revision`."""
    with _engine(url).connect() as connection:
        connection.exec_driver_sql(f"select pg_advisory_lock({LOCK})")
        connection.commit()
        command.upgrade(_config(connection), revision)
        connection.commit()


def downgrade(url: str, revision: str) -> None:
    """Migrate the database at `url` down to `revision` (`base`: no table left). Raises UsageError if there is none."""
    known = [script.revision for script in _scripts().walk_revisions()]
    if revision not in (*known, "base"):
        raise UsageError(f"no revision '{revision}' of the schema: there are base, {', '.join(reversed(known))}")
    with _engine(url).connect() as connection:
        connection.exec_driver_sql(f"select pg_advisory_lock({LOCK})")
        connection.commit()
        command.downgrade(_config(connection), revision)
        connection.commit()


def require_current(connection: Connection) -> None:
    """Raises StackError unless the database has the schema that this code was written for."""
    wanted = _scripts().get_current_head()
    found = MigrationContext.configure(connection).get_current_revision()
    if found == wanted:
        return
    if found is None or found in (script.revision for script in _scripts().walk_revisions()):
        todo = "run `tracemill db upgrade`"
    else:
        todo = "this Tracemill is older than the database: install the newer one here"
    raise StackError(f"the database's schema is {found or 'empty'}, this code's is {wanted}: {todo}")


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(migrations.__file__).parent))


def differences(url: str) -> list[object]:
    """What the database's tables lack or have against `db.tables`; empty when they agree."""
    with _engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))


def _engine(url: str) -> Engine:
    from sqlalchemy.pool import NullPool

    return create_engine(url, poolclass=NullPool)


def _config(connection: object) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config
