"""Alembic's entry: always online, on the connection that `db.migrate` hands over."""

from alembic import context

from db.tables import Base

# The caller has begun the transaction: all revisions and the views are one change.
context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
