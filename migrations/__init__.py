"""Alembic migrations of the tables in `db/tables.py`. They never mention the views in `db/views/`."""
