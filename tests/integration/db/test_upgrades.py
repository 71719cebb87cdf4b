"""An upgrade stops nobody: it waits for no lock for long, and builds indexes while others write."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db import migrate
from db.session import transaction
from tests.integration.factory import additions, change, fill, rows, value, wait_until
from tracemill.errors import StackError
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

WAITING = "select count(*) from pg_locks where not granted"
INVALID = "select indexrelid::regclass::text from pg_index where not indisvalid"
OWNER_INDEX = "ix_job_questions_owner"
ONE_ROW = "update job_questions set wanted = wanted where question_id = 1"
ANOTHER = "update job_questions set wanted = wanted where question_id = 2"


@pytest.fixture
def older(clean: Stack) -> Iterator[Stack]:
    """Two questions in the schema of the release before."""
    fill(additions(2), "sums")
    migrate.downgrade(clean.database_url, "0014")
    yield clean
    migrate.upgrade(clean.database_url)


@contextmanager
def upgrading_beside(statement: str, stack: Stack) -> Iterator[None]:
    """An upgrade that waits, because a transaction that has run the statement lasts until the block ends."""

    def run() -> None:
        with suppress(OperationalError):  # a test ends its session
            migrate.upgrade(stack.database_url)

    upgrade = threading.Thread(target=run)
    try:
        with transaction() as connection:
            connection.execute(text("set local idle_in_transaction_session_timeout = 0"))
            connection.execute(text(statement))
            upgrade.start()
            wait_until(lambda: value(WAITING) > 0, 60)
            yield
    finally:
        upgrade.join()


@pytest.mark.parametrize(
    ("long", "short"),
    [("select from processes", "update processes set trouble = trouble"), (ONE_ROW, ANOTHER)],
    ids=["a reader", "a writer"],
)
def test_no_process_waits_behind_an_upgrade_that_waits(older: Stack, long: str, short: str) -> None:
    with upgrading_beside(long, older):
        change(short)  # Postgres ends it after 10 s (lock_timeout) if it waits
    assert migrate.differences(older.database_url) == []


def test_an_index_of_a_killed_upgrade_is_built_by_the_next_one(older: Stack) -> None:
    with upgrading_beside(ONE_ROW, older):
        building = "select pid from pg_stat_activity where query ilike 'create index concurrently%'"
        change("select pg_terminate_backend(:pid)", pid=value(building))
    assert rows(INVALID) == [(OWNER_INDEX,)]
    migrate.upgrade(older.database_url)
    assert rows(INVALID) == []
    assert migrate.differences(older.database_url) == []


def test_an_older_tracemill_does_not_touch_a_newer_database(clean: Stack) -> None:
    current = value("select version_num from alembic_version")
    change("update alembic_version set version_num = '9999'")
    try:
        with pytest.raises(StackError, match="this Tracemill is older than the database"):
            migrate.upgrade(clean.database_url)
    finally:
        change("update alembic_version set version_num = :revision", revision=current)
    assert migrate.differences(clean.database_url) == []
