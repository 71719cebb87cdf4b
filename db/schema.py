"""The revision of a database's schema, compared with that of this code.

A database may be newer than the code of a process that starts, so that an upgrade need not stop everybody at once. Each
upgrade stores the oldest code that works with the new schema (`db.migrate`).

Every process compares them when it starts. So this does without Alembic, whose import takes longer than all the rest.
"""

from pathlib import Path

from sqlalchemy import Connection, text

import migrations
from tracemill.errors import StackError


def revisions() -> list[str]:
    """The revisions of this code, oldest first. The name of each migration's file begins with its revision."""
    files = (Path(migrations.__file__).parent / "versions").glob("*.py")
    return sorted(file.name.partition("_")[0] for file in files)


def revision_of(connection: Connection) -> str | None:
    """The revision of a database; None if it has no tables of ours."""
    if connection.execute(text("select to_regclass('alembic_version')")).scalar_one() is None:
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()


def compatibility(connection: Connection) -> str | None:
    """The sentence of an upgrade about the oldest code for its schema, which ends with the code's revision."""
    comment = text("select obj_description(to_regclass('alembic_version'), 'pg_class')")
    sentence: str | None = connection.execute(comment).scalar_one()
    return sentence


def require_compatible(connection: Connection) -> None:
    """Raise StackError unless this code works with the schema of the database: with its own, or a newer one."""
    *older, head = revisions()
    current = revision_of(connection)
    oldest_code = (compatibility(connection) or "").rpartition(" ")[2]
    if current == head or (current is not None and current not in older and oldest_code in (*older, head)):
        return
    if current is None or current in older:
        advice = "run `tracemill db upgrade`"
    else:
        advice = "this Tracemill is older than the database: install the newer version here"
    raise StackError(f"the database's schema is {current or 'empty'}, this code's is {head}: {advice}")
