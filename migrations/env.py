"""Alembic's entry point: it always uses the connection from `db.migrate`."""

from alembic import context

from db.tables import Base

# The caller's transaction includes all revisions and the views.
context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
