"""`tracemill sql`: query the views as the read-only role."""

import csv
import json as json_library
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.csv_cells import Raw, csv_cell
from cli.output import Json, json_default, print_json, print_line, print_rows
from tracemill.errors import UsageError, no_postgres, reason_of, unreachable
from tracemill.settings import settings

STDIN = "-"


def register(app: typer.Typer) -> None:
    app.command(help=SQL, rich_help_panel="Traces")(sql)


SQL = """Run a SQL query as the read-only role, over the views.

Example: tracemill sql "select job, accepted, count(*) from trace_scores group by 1, 2"

The views, explained column by column in docs/sql.md:

\b
trace_scores          one row for each trace, with its verdict and scores
trace_details         steps, prompt and worker of each trace
question_results      one row for each question of each job
job_progress          one row for each job: states of its questions, results
job_models            the settings of the models that answered a job, by hash
acceptance            accepted traces and their cost, by domain and difficulty
job_tiers             tiers of jobs: what each solved, its tokens and its cost
round_progress        one row for each round: its state and training
round_lineage         question, trace, round and evaluation of each example
evaluation_questions  questions of evaluations, which no round trains on
round_exclusions      questions excluded from a round, and why
round_answers         each answer of a round's evaluations
round_flips           answers that became right or wrong with a round
round_results         accuracy of a round by domain, length and difficulty"""


def sql(
    query: Annotated[str | None, typer.Argument(help="One SQL statement; - reads it from standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the statement from this file.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    raw: Raw = False,
    json: Json = False,
    url: Annotated[
        bool, typer.Option("--url", help="Print the read-only role's address, password included, and run nothing.")
    ] = False,
) -> None:
    if as_csv and json:
        raise UsageError("choose one of --csv and --json")
    if url:
        if query or file:
            raise UsageError("--url runs no query: leave the query out")
        print_line(_address())
        return
    columns, rows = _run(_statement(query, file))
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([csv_cell(_csv_value(value), raw, sys.stdout) for value in row] for row in rows)
        return
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    if json:
        print_json(records)
    else:
        print_rows(records, columns)


def _statement(query: str | None, file: Path | None) -> str:
    """The statement of the argument, the file or standard input. Raises UsageError if there is none."""
    if query and file:
        raise UsageError("give either a query or -f FILE, not both")
    if query is None and file is None and sys.stdin.isatty():
        raise UsageError('no query: tracemill sql "select …", or -f FILE, or - for standard input')
    try:
        if file and str(file) != STDIN:
            statement = file.read_text(encoding="utf-8-sig")
        else:
            statement = sys.stdin.read() if query in (None, STDIN) else query
    except OSError as error:
        raise UsageError(f"cannot read {file or 'standard input'}: {reason_of(error)}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file or 'standard input'}: the query is not UTF-8 text") from None
    if not statement or not statement.strip():
        raise _empty_query()
    return statement


def _empty_query() -> UsageError:
    return UsageError('the query is empty. Example: tracemill sql "select * from job_progress"')


def _address() -> str:
    address = settings().reader_url
    if address is None:
        raise no_postgres("reader_url")
    return address.get_secret_value()


def _run(statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one statement; return its columns and rows."""
    import psycopg
    from psycopg.pq import ExecStatus

    from db.views import VIEWS

    try:
        with psycopg.connect(_address(), connect_timeout=10) as connection:
            connection.read_only = True
            # Postgres prepares only a single statement.
            cursor = connection.execute(statement.encode(), prepare=True)
            if cursor.pgresult is not None and cursor.pgresult.status == ExecStatus.EMPTY_QUERY:
                raise _empty_query()
            rows = cursor.fetchall() if cursor.description else []
            columns = [column.name for column in cursor.description or []]
    except psycopg.OperationalError as error:
        raise unreachable("Postgres", error) from None
    except psycopg.Error as error:
        if "multiple commands" in str(error):
            raise UsageError("these are several statements: run them one at a time") from None
        if isinstance(error, psycopg.errors.InsufficientPrivilege | psycopg.errors.UndefinedTable):
            problem = f"{error.diag.message_primary}. You can read the views {', '.join(VIEWS)}"
        else:
            problem = str(error).strip()
        raise UsageError(f"Postgres refused the query: {problem}") from None
    _require_distinct(columns)
    return columns, rows


def _require_distinct(columns: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise UsageError(f"several columns are called {repeated[0]}: rename them with `as`")


def _csv_value(value: Any) -> Any:
    """JSON columns as JSON; everything else as Python prints it."""
    if isinstance(value, dict | list):
        return json_library.dumps(value, ensure_ascii=False, default=json_default)
    return value
