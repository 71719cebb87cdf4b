"""The schema: models, migrations, views and their documentation agree."""

import runpy
from pathlib import Path

import pytest
from sqlalchemy import text

from db import migrate
from db.session import transaction
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


def test_the_migrations_make_exactly_the_tables_of_the_models(stack: Stack) -> None:
    assert migrate.differences(stack.database_url) == []


def test_migrating_twice_changes_nothing(stack: Stack) -> None:
    migrate.upgrade(stack.database_url)
    assert migrate.differences(stack.database_url) == []


def test_a_database_can_be_migrated_down_to_nothing_and_up_again(stack: Stack) -> None:
    migrate.downgrade(stack.database_url, "base")
    try:
        with transaction() as connection:
            tables = text(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')"
            )
            assert set(connection.execute(tables).scalars()) <= {"alembic_version"}
    finally:
        migrate.upgrade(stack.database_url)
    assert migrate.differences(stack.database_url) == []


def test_every_column_of_every_view_is_documented_and_the_page_is_up_to_date(stack: Stack) -> None:
    root = Path(__file__).parents[2]
    page = runpy.run_path(str(root / "docs" / "make_sql.py"))["page"]()
    assert "| None |" not in page
    assert (root / "docs" / "sql.md").read_text(encoding="utf-8") == page
