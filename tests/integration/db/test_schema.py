"""The schema: models, migrations, views and their documentation agree."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from db import migrate, schema, views
from db.session import transaction
from tests import ROOT
from tests.integration.factory import Processes, additions, change, fill, rows, value
from tests.integration.feeding import step
from tracemill.errors import StackError, UsageError
from tracemill.settings import settings
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


def test_the_migrations_make_exactly_the_tables_of_the_models(stack: Stack) -> None:
    assert migrate.differences(stack.database_url) == []


def test_migrating_twice_changes_nothing(stack: Stack) -> None:
    migrate.upgrade(stack.database_url)
    assert migrate.differences(stack.database_url) == []


def test_a_database_can_be_migrated_down_to_nothing_and_up_again(clean: Stack) -> None:
    migrate.downgrade(clean.database_url, "base")
    try:
        with transaction() as connection:
            tables = text(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')"
            )
            assert set(connection.execute(tables).scalars()) <= {"alembic_version"}
    finally:
        migrate.upgrade(clean.database_url)
    assert migrate.differences(clean.database_url) == []


OLD_TRACE = """
insert into traces (job_id, question_id, sample_index, prompt_hash, text, reasoning, steps, calls, tokens_in,
                    tokens_out, latency_seconds, worker)
select job_id, question_id, :n, prompt_hash, :text, :reasoning, '[]', cast(:calls as jsonb), 1, 1, 0, 'old'
from job_questions join job_prompts using (job_id) where domain = 'math'
"""
CALL = {"call": "draft", "text": "<think>Hm.</think>\nA draft."}
THOUGHT = "<think>\n1 + 1?\n</think>\n\nThe answer is 2."
#: Texts of an old database, with the reasoning and the earlier calls.
OLD_TRACES: list[tuple[str, str, list[dict[str, str]]]] = [
    ("1 < 2. The answer is 2.", "1 < 2. The answer is 2.", []),
    (THOUGHT, "1 + 1?", []),
    ("[THINK]a[/THINK]Step 1: b", "Step 1: b", [CALL]),
    ("Here's my thought process: a\nHere is my response: b", "a", [{"call": "draft", "text": "A draft."}]),
]


def test_an_upgrade_splits_old_traces_and_a_downgrade_restores_them(clean: Stack) -> None:
    fill(additions(1), "sums")
    migrate.downgrade(clean.database_url, "0010")
    columns = "select text, reasoning, calls from traces order by sample_index"
    try:
        for n, (content, reasoning, calls) in enumerate(OLD_TRACES):
            change(OLD_TRACE, n=n, text=content, reasoning=reasoning, calls=json.dumps(calls))
        migrate.upgrade(clean.database_url)
        split = rows("select text, thoughts, reasoning, calls from trace_scores order by sample_index")
        assert [tuple(row) for row in split] == [
            ("1 < 2. The answer is 2.", None, "1 < 2. The answer is 2.", []),
            ("The answer is 2.", "1 + 1?", "1 + 1?", []),
            ("Step 1: b", "a", "Step 1: b", [{"call": "draft", "text": "A draft.", "thoughts": "Hm."}]),
            ("b", "a", "a", [{"call": "draft", "text": "A draft."}]),
        ]
        stored = rows("select reasoning from traces order by sample_index")
        assert [row.reasoning is None for row in stored] == [False, True, False, True]
        migrate.downgrade(clean.database_url, "0010")
        assert [tuple(row) for row in rows(columns)] == OLD_TRACES
    finally:
        migrate.upgrade(clean.database_url)


def test_an_upgrade_splits_more_traces_than_a_batch(clean: Stack) -> None:
    fill(additions(1), "sums")
    migrate.downgrade(clean.database_url, "0010")
    try:
        with transaction() as connection:
            row = {"text": THOUGHT, "reasoning": "1 + 1?", "calls": "[]"}
            connection.execute(text(OLD_TRACE), [row | {"n": n} for n in range(1_001)])
    finally:
        migrate.upgrade(clean.database_url)
    assert value("select count(*) from trace_scores where text = 'The answer is 2.' and thoughts = '1 + 1?'") == 1_001


def test_the_cost_of_jobs_survives_an_upgrade_and_a_downgrade(clean: Stack) -> None:
    job_id = fill(additions(1), "sums", budget=9, budget_unit="tokens").job_id
    try:
        migrate.downgrade(clean.database_url, "0015")
        change("update jobs set spent = 2")
        migrate.upgrade(clean.database_url)
        change("insert into job_counts (job_id, spent) values (:job, 3)", job=job_id)
        assert value("select spent from job_progress") == 5
        migrate.downgrade(clean.database_url, "0015")
        assert value("select spent from jobs") == 5
    finally:
        migrate.upgrade(clean.database_url)


CLAIMED = """
update job_questions set state = 'running', owner = 'host:1:ab', claim_id = gen_random_uuid(),
    lease_until = now() + interval '20 seconds'
"""
LEASES = "select lease_until > now() + interval '15 seconds' from job_questions"


def test_claims_in_progress_survive_an_upgrade_and_a_downgrade(clean: Stack) -> None:
    fill(additions(1), "sums")
    try:
        migrate.downgrade(clean.database_url, "0014")
        change(CLAIMED)
        migrate.upgrade(clean.database_url)
        assert rows(LEASES) == [(True,)]
        assert step(settings().feeder).taken_back == 0
        change("update job_questions set lease_until = null")  # as a claim of this release
        migrate.downgrade(clean.database_url, "0014")
        assert rows(LEASES) == [(True,)]
    finally:
        migrate.upgrade(clean.database_url)


@pytest.mark.parametrize(
    ("revision", "advice"),
    [("0004", "run `tracemill db upgrade`"), ("9999", "this Tracemill is older than the database")],
)
def test_a_process_whose_code_does_not_match_the_schema_stops_with_advice(
    stack: Stack, tmp_path: Path, revision: str, advice: str
) -> None:
    current = value("select version_num from alembic_version")
    before = value("select obj_description('alembic_version'::regclass)")
    change("update alembic_version set version_num = :revision", revision=revision)
    change(f"comment on table alembic_version is 'works with code from revision {revision}'")
    processes = Processes(tmp_path, {})
    try:
        assert processes.start("worker", "worker", "verify").wait(120) == 1
    finally:
        processes.stop_all()
        change("update alembic_version set version_num = :revision", revision=current)
        change(f"comment on table alembic_version is '{before}'")
    assert advice in processes.log("worker").read_text()
    with transaction() as connection:
        schema.require_compatible(connection)


def test_a_process_starts_without_the_libraries_of_migrations(stack: Stack) -> None:
    code = (
        "import sys, cli.workers, producer.feeder, workers.generate, workers.verify, trainer.service\n"
        "from db.heartbeat import present\n"
        "with present('probe'): print({'alembic', 'sqlalchemy.orm'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "set()\n"


def test_the_error_for_an_unknown_revision_lists_all_revisions(stack: Stack) -> None:
    with pytest.raises(UsageError, match="no revision 'yesterday' of the schema; choose base, 0001, "):
        migrate.downgrade(stack.database_url, "yesterday")


def test_the_views_of_the_database_are_exactly_those_of_the_files(stack: Stack) -> None:
    with transaction() as connection:
        before = _views(connection)
        views.drop(connection)
        views.create(connection)
        assert _views(connection) == before
        assert before.keys() == set(views.VIEWS)
        assert {path.stem for path in (ROOT / "db" / "views").glob("*.sql")} == {*views.VIEWS, *views.FUNCTIONS}


def _views(connection: Connection) -> dict[str, tuple[str, list[Any], bool]]:
    """For each view: its definition, its columns with comments, and whether the reader role may read it."""
    names = connection.execute(text("select viewname from pg_views where schemaname = 'public'")).scalars().all()
    return {
        name: (
            str(connection.execute(text("select pg_get_viewdef(cast(:name as regclass))"), {"name": name}).scalar()),
            [tuple(row) for row in connection.execute(COLUMNS, {"name": name})],
            bool(
                connection.execute(
                    text("select has_table_privilege(:reader, :name, 'select')"), {"reader": views.READER, "name": name}
                ).scalar()
            ),
        )
        for name in names
    }


COLUMNS = text(
    "select attname, atttypid, col_description(attrelid, attnum) from pg_attribute "
    "where attrelid = cast(:name as regclass) and attnum > 0 order by attnum"
)


def test_an_upgrade_replaces_views_of_another_version(clean: Stack) -> None:
    change("create or replace function views_digest() returns text immutable return 'older'")
    change("drop view round_flips")
    assert migrate.differences(clean.database_url) == ["the views are not those of this version"]
    migrate.upgrade(clean.database_url)
    assert migrate.differences(clean.database_url) == []
    assert value("select count(*) from round_flips") == 0


def test_a_users_view_that_reads_ours_is_named_and_survives(stack: Stack) -> None:
    change("create view my_scores as select trace_id from trace_scores")
    change("create or replace function views_digest() returns text immutable return 'older'")
    try:
        with pytest.raises(StackError, match=r"view my_scores depends on view trace_scores.*tracemill db upgrade"):
            migrate.upgrade(stack.database_url)
        assert value("select count(*) from my_scores") == value("select count(*) from trace_scores")
    finally:
        change("drop view my_scores")
        migrate.upgrade(stack.database_url)


def test_every_view_column_is_documented_and_the_page_is_up_to_date(stack: Stack) -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_sql.py"))["page"]()
    assert "| None |" not in page
    assert (ROOT / "docs" / "sql.md").read_text(encoding="utf-8") == page
