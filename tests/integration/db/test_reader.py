"""SQL users: the role `tracemill_reader` can only read the views, over TCP."""

import csv
import io
import json
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from cli.main import app
from db.session import transaction
from db.tables import Base
from tests.conftest import forget
from tests.integration.factory import Processes, additions, fill, rows, value, wait_until
from tests.integration.rounds import question, trace
from tracemill.errors import StackError, UsageError
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

#: No table is for SQL users, whatever it holds.
TABLES = sorted([*Base.metadata.tables, "alembic_version"])


def views() -> list[str]:
    """Every view that the database has."""
    names = [row.viewname for row in rows("select viewname from pg_views where schemaname = 'public' order by 1")]
    assert len(names) >= 8
    return names


@pytest.fixture
def filled(clean: Stack) -> Stack:
    """Two jobs, one trace."""
    fill(additions(2), "sums")
    job_id = fill(additions(1), "mar[k]ed").job_id
    with transaction() as connection:
        question_id = question(connection, 'What is 3 + 4?, or "7"\nor [b]seven[/b]?')
        trace(connection, job_id, question_id, "3 + 4 = 7. The answer is 7.")
    return clean


def reader(stack: Stack) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(
        host="127.0.0.1",
        port=stack.postgres_port,
        user="tracemill_reader",
        password=stack.reader_password,
        dbname="tracemill",
        autocommit=True,
    )


def test_the_reader_reads_the_views(filled: Stack) -> None:
    with reader(filled) as connection:
        for view in views():
            connection.execute(f"select * from {view}")
        assert connection.execute("select job, questions, traces from job_progress order by job").fetchall() == [
            ("mar[k]ed", 1, 1),
            ("sums", 2, 0),
        ]
        assert connection.execute("select text, accepted, model from trace_scores").fetchall() == [
            ("3 + 4 = 7. The answer is 7.", True, "teacher")
        ]
        assert connection.execute("select count(*) from round_lineage").fetchone() == (0,)


def test_every_column_of_the_views_is_explained_to_the_reader(filled: Stack) -> None:
    with reader(filled) as connection:
        undocumented = connection.execute(
            "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid "
            "where c.relname = any(%s) and a.attnum > 0 and col_description(c.oid, a.attnum) is null",
            [views()],
        ).fetchall()
    assert undocumented == []


@pytest.mark.parametrize(
    "refused",
    [
        *(f"select * from {table}" for table in TABLES),
        "insert into jobs (name) values ('mine')",
        "truncate traces",
        "drop view trace_scores",
        "create table mine (x int)",
        "create temp table mine (x int)",
        "create schema mine",
        "create view mine as select 1",
        "create function mine() returns int language sql as 'select 1'",
        "set role tracemill",
        "set session authorization postgres",
        "alter role tracemill_reader superuser",
        "create role another",
        "select pg_read_file('/etc/passwd')",
        "select pg_read_binary_file('PG_VERSION')",
        "select * from pg_ls_dir('.')",
        "select lo_import('/etc/passwd')",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tracemill'",
        "select pg_reload_conf()",
        "select rolpassword from pg_authid",
        "copy (select 1) to '/tmp/stolen'",
        "copy (select 1) to program 'id'",
        "alter system set fsync = off",
        "load 'plpgsql'",
        "select pg_advisory_lock(1)",
        "select pg_try_advisory_lock(1)",
        "select pg_try_advisory_xact_lock_shared(1, 2)",
        "select lo_create(0)",
        "select lo_from_bytea(0, 'a gigabyte')",
        "select lo_put(lo_creat(-1), 0, 'a gigabyte')",
        "do $$ begin perform pg_sleep(0); end $$",
        "set temp_file_limit = -1",
    ],
)
def test_the_reader_can_do_nothing_else(filled: Stack, refused: str) -> None:
    with reader(filled) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(refused.encode())


def test_the_reader_leaves_connections_for_the_others(filled: Stack) -> None:
    with ExitStack() as sessions:
        for _ in range(20):
            sessions.enter_context(reader(filled))
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            reader(filled)


def test_the_reader_has_a_limit_of_time_and_temporary_files(filled: Stack) -> None:
    with reader(filled) as connection:
        limits = {name: connection.execute(f"show {name}".encode()).fetchone() for name in LIMITS}
    assert limits == {name: (limit,) for name, limit in LIMITS.items()}


LIMITS = {"statement_timeout": "15min", "idle_in_transaction_session_timeout": "1min", "temp_file_limit": "10GB"}


def test_the_feeder_ends_readers_that_lift_their_timeout(filled: Stack, tmp_path: Path) -> None:
    processes = Processes(tmp_path, {"TRACEMILL_FEEDER__READER_SECONDS": "1"})
    with reader(filled) as busy, closing(reader(filled)) as idle, reader(filled) as quiet:
        busy.execute("set statement_timeout = 0")
        for session in (busy, idle):
            session.execute("set idle_in_transaction_session_timeout = 0")
        idle.execute("begin")
        quiet.execute("select 1")
        try:
            processes.start("producer", "producer")
            with pytest.raises(psycopg.errors.AdminShutdown):
                busy.execute("select pg_sleep(60)")
            wait_until(lambda: value("select count(*) from pg_stat_activity where usename = 'tracemill_reader'") == 1)
        finally:
            processes.stop_all()
        assert quiet.execute("select 1").fetchone() == (1,)
    assert processes.log("producer").read_text().count("ended a transaction of the read-only role") == 2


@pytest.mark.parametrize("write", ["update job_progress set state = 'done'", "delete from trace_scores"])
def test_nothing_can_be_written_through_a_view(filled: Stack, write: str) -> None:
    with reader(filled) as connection, pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        connection.execute(write.encode())


def test_sql_prints_a_table_in_which_text_is_data(filled: Stack) -> None:
    done = CliRunner().invoke(app, ["sql", "select job, questions, traces > 0 as any from job_progress order by job"])
    assert done.exit_code == 0
    lines = [line.strip("│┃ ").split() for line in done.stdout.splitlines()]
    assert ["job", "┃", "questions", "┃", "any"] in lines
    assert ["mar[k]ed", "│", "1", "│", "yes"] in lines
    assert ["sums", "│", "2", "│", "no"] in lines


def test_sql_prints_csv_that_can_be_read_back(filled: Stack) -> None:
    done = CliRunner().invoke(app, ["sql", "--csv", "select question, accepted, adapter from trace_scores"])
    assert done.exit_code == 0
    assert list(csv.reader(io.StringIO(done.stdout))) == [
        ["question", "accepted", "adapter"],
        ['What is 3 + 4?, or "7"\nor [b]seven[/b]?', "True", ""],
    ]


def test_sql_prints_json_with_plain_numbers_and_nulls(filled: Stack) -> None:
    query = "select question, accepted, adapter, created_at, sum(tokens_out) over () as tokens from trace_scores"
    done = CliRunner().invoke(app, ["sql", "--json", query])
    assert done.exit_code == 0
    (row,) = json.loads(done.stdout)
    assert row["question"].startswith("What is 3 + 4?")
    assert (row["accepted"], row["adapter"], row["tokens"]) == (True, None, 1)
    assert row["created_at"][:2] == "20"


def test_sql_without_rows_is_an_empty_list_and_a_header(filled: Stack) -> None:
    nothing = "select job from job_progress where false"
    assert json.loads(CliRunner().invoke(app, ["sql", "--json", nothing]).stdout) == []
    assert CliRunner().invoke(app, ["sql", "--csv", nothing]).stdout.splitlines() == ["job"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select * from traces", "permission denied for table traces"),
        ("selec 1", 'syntax error at or near "selec"'),
        ("select nothing from job_progress", 'column "nothing" does not exist'),
        ("select 1 / 0", "division by zero"),
        ("copy (select 1) to stdout", "COPY"),
        ("commit; set statement_timeout = 0; select 1", "these are several statements"),
        ("do $$ begin perform 1; perform 2; end $$", "permission denied for language plpgsql"),
        ("select pg_advisory_lock(1)", "permission denied for function pg_advisory_lock"),
    ],
)
def test_sql_that_postgres_refuses_is_wrong_use_with_its_message(filled: Stack, query: str, message: str) -> None:
    done = CliRunner().invoke(app, ["sql", query])
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)


def test_sql_reports_an_unreachable_postgres(filled: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_READER_URL", "postgresql://tracemill_reader:secret@127.0.0.1:1/tracemill")
    forget()
    done = CliRunner().invoke(app, ["sql", "select 1"])
    forget()
    assert isinstance(done.exception, StackError)
    assert "cannot reach Postgres" in str(done.exception)
    assert "secret" not in str(done.exception)
