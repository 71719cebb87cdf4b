"""Alembic migrations of the schema in `db/tables.py` and the views that people query."""
