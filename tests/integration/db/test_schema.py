"""The schema: models, migrations, views and their documentation agree."""

import runpy
from pathlib import Path

import pytest
from sqlalchemy import text

from db import migrate
from db.session import transaction
from tests import ROOT
from tests.integration.factory import Processes, change, value
from tracemill.errors import UsageError
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


@pytest.mark.parametrize(
    ("revision", "advice"),
    [("0004", "run `tracemill db upgrade`"), ("9999", "this Tracemill is older than the database")],
)
def test_a_process_whose_code_does_not_match_the_schema_says_so_and_stops(
    stack: Stack, tmp_path: Path, revision: str, advice: str
) -> None:
    current = value("select version_num from alembic_version")
    change("update alembic_version set version_num = :revision", revision=revision)
    processes = Processes(tmp_path, {})
    try:
        assert processes.start("worker", "worker", "verify").wait(30) == 1
    finally:
        processes.stop_all()
        change("update alembic_version set version_num = :revision", revision=current)
    assert advice in processes.log("worker").read_text()
    with transaction() as connection:
        migrate.require_current(connection)


def test_an_unknown_revision_is_an_error_that_names_those_there_are(stack: Stack) -> None:
    with pytest.raises(UsageError, match="no revision 'yesterday' of the schema: there are base, 0001, "):
        migrate.downgrade(stack.database_url, "yesterday")


def test_every_column_of_every_view_is_documented_and_the_page_is_up_to_date(stack: Stack) -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_sql.py"))["page"]()
    assert "| None |" not in page
    assert (ROOT / "docs" / "sql.md").read_text(encoding="utf-8") == page
