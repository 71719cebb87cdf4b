"""Alembic migrations of the tables in `db/tables.py`. They never mention a view (`db/views/`)."""
