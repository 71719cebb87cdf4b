"""`tracemill sql`: where the statement comes from, what is refused, and how the rows are printed."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest

from db.session import transaction
from db.tables import Base
from db.views import VIEWS
from tests.documented import blocks
from tests.in_process import here
from tests.installed import TRACEMILL, environment
from tests.integration.factory import additions, fill, rows
from tests.integration.measured import finished_round
from tracemill.settings import settings
from tracemill.stack import Stack
from tracemill.stack.binaries import postgres_folders

pytestmark = pytest.mark.integration

QUERY = "select job, questions from job_progress"
READABLE = "You can read the views trace_scores, "


@pytest.fixture
def sums(clean: Stack) -> Stack:
    """One job of two questions."""
    fill(additions(2), "sums")
    return clean


@pytest.fixture
def rounds(clean: Stack) -> Stack:
    """A finished round with its traces and evaluations."""
    with transaction() as connection:
        finished_round(connection)
    return clean


def variables() -> dict[str, str]:
    """The variables of a shell in the folder of the stack."""
    return environment() | {"TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())}


def run(folder: Path, *words: str, stdin: str = "") -> "CompletedProcess[str]":
    return here(folder, "sql", *words, stdin=stdin, **variables())


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        ([QUERY], ""),
        ([QUERY + ";"], ""),
        (["-"], QUERY),
        ([], QUERY + ";\n"),
        (["-f", "query.sql"], ""),
        (["-f", "-"], QUERY),
    ],
)
def test_a_statement_comes_from_the_line_a_file_or_stdin(
    sums: Stack, tmp_path: Path, words: list[str], stdin: str
) -> None:
    (tmp_path / "query.sql").write_text(f"-- how far is each job?\n{QUERY}\n")
    ended = run(tmp_path, *words, "--csv", stdin=stdin)
    assert (ended.returncode, ended.stdout.splitlines()) == (0, ["job,questions", "sums,2"]), ended.stderr


def test_the_installed_command_reads_a_pipe(sums: Stack, tmp_path: Path) -> None:
    command = ["bash", "-c", f"echo '{QUERY}' | {TRACEMILL} sql --csv | tail -n 1"]
    assert subprocess.check_output(command, cwd=tmp_path, env=variables(), text=True, timeout=60) == "sums,2\n"


@pytest.mark.parametrize(
    ("words", "stdin", "message"),
    [
        (["select 1; select 2"], "", "these are several statements: run them one at a time"),
        (["-"], "select 1;\nselect 2;\n", "these are several statements: run them one at a time"),
        ([""], "", "the query is empty"),
        (["-"], "", "the query is empty"),
        (["-"], "-- only a comment", "the query is empty"),
        ([";"], "", "the query is empty"),
        (["-f", "none.sql"], "", "cannot read none.sql: No such file or directory"),
        (["-f", "."], "", "cannot read .: Is a directory"),
        (["-f", "latin.sql"], "", "latin.sql: the query is not UTF-8 text"),
        ([QUERY, "-f", "query.sql"], "", "give either a query or -f FILE, not both"),
        ([QUERY, "--csv", "--json"], "", "choose one of --csv and --json"),
        ([QUERY, "--url"], "", "--url runs no query"),
        (["select 1 as a, 2 as a"], "", "several columns are called a: rename them with `as`"),
        (["select * from traces"], "", f"Postgres refused the query: permission denied for table traces. {READABLE}"),
        (["select * from scores"], "", f'Postgres refused the query: relation "scores" does not exist. {READABLE}'),
    ],
)
def test_a_wrong_query_is_refused_with_a_sentence(
    sums: Stack, tmp_path: Path, words: list[str], stdin: str, message: str
) -> None:
    (tmp_path / "latin.sql").write_bytes("select 'é'".encode("latin-1"))
    ended = run(tmp_path, *words, stdin=stdin)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"error: {message}")
    assert len(ended.stderr.splitlines()) == 1


def test_csv_holds_json_columns_as_json(sums: Stack, tmp_path: Path) -> None:
    ended = run(tmp_path, """select '{"rating": 0.5}'::jsonb as signals, 'a % b' as text""", "--csv")
    (row,) = csv.DictReader(io.StringIO(ended.stdout))
    assert json.loads(row["signals"]) == {"rating": 0.5}
    assert row["text"] == "a % b"


def test_csv_holds_no_formula_unless_raw(sums: Stack, tmp_path: Path) -> None:
    query = "select '=1+1' as text, -5 as figure"
    assert run(tmp_path, query, "--csv").stdout.splitlines() == ["text,figure", "'=1+1,-5"]
    assert run(tmp_path, query, "--csv", "--raw").stdout.splitlines() == ["text,figure", "=1+1,-5"]


def test_another_program_reads_the_views_at_the_printed_address(sums: Stack, tmp_path: Path) -> None:
    ended = run(tmp_path, "--url")
    assert ended.returncode == 0
    with psycopg.connect(ended.stdout.strip()) as connection:
        assert connection.execute(QUERY.encode()).fetchall() == [("sums", 2)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from jobs")


def test_psql_reads_the_views_as_documented(sums: Stack, tmp_path: Path) -> None:
    (line,) = (line for block in blocks("") for line in block.splitlines() if line.startswith("psql "))
    folder = next(folder for folder in postgres_folders() if (folder / "psql").exists())
    programs = {"PATH": f"{folder}:{Path(TRACEMILL).parent}:{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-c", f"{line} -Atc '{QUERY}'"],
        cwd=tmp_path,
        env=variables() | programs,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("sums|2\n", "")


@pytest.mark.parametrize("query", list(blocks("sql")), ids=lambda query: " ".join(query.split())[:50])
def test_a_documented_query_runs(rounds: Stack, tmp_path: Path, query: str) -> None:
    ended = run(tmp_path, "--csv", stdin=query)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()[0].split(",")) > 1


def test_the_documented_python_reads_the_views(rounds: Stack, tmp_path: Path) -> None:
    (code,) = (block for block in blocks("python") if "pandas" in block)
    path = f"{Path(TRACEMILL).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + "print(len(traces), traces.columns[0])"],
        cwd=tmp_path,
        env=variables() | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    n_traces = rows("select count(*) as n from traces")[0].n
    assert ended.stdout == f"{n_traces} trace_id\n", ended.stderr
    assert n_traces > 0


def test_the_help_lists_every_view(tmp_path: Path) -> None:
    printed = run(tmp_path, "--help").stdout
    assert set(re.findall(r"^ ([a-z]+_?[a-z]*)  +[a-z]", printed, re.MULTILINE)) == set(VIEWS)


def test_no_comment_of_a_view_names_a_table_that_the_reader_cannot_read(stack: Stack) -> None:
    hidden = "|".join(sorted({*Base.metadata.tables} - {*VIEWS}))
    names_a_table = re.compile(rf"\b(?:table|view) (?:{hidden})\b|\b(?:{hidden})\.\w")
    comments = rows(
        "select c.relname, a.attname, coalesce(col_description(c.oid, a.attnum), obj_description(c.oid)) as comment "
        "from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relname = any(:views)",
        views=list(VIEWS),
    )
    assert len(comments) > 100
    assert [row for row in comments if names_a_table.search(row.comment or "")] == []
