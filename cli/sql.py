"""`tracemill sql`: query the views as the read-only role."""

import csv
import sys
from enum import StrEnum
from typing import Annotated

import typer

from cli.output import Json, print_json, print_rows
from tracemill.errors import UsageError, no_postgres, unreachable
from tracemill.settings import settings


class Format(StrEnum):
    table = "table"
    csv = "csv"


def register(app: typer.Typer) -> None:
    app.command(help=SQL, rich_help_panel="Traces")(sql)


SQL = """Run a SQL query as the read-only role, over the views trace_scores, job_progress, acceptance and round_lineage.

Example: tracemill sql "select job, accepted, count(*) from trace_scores group by 1, 2\""""


def sql(
    query: Annotated[str, typer.Argument(help="One SQL statement.")],
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.table,
    json: Json = False,
) -> None:
    import psycopg
    from psycopg.rows import dict_row

    url = settings().reader_url
    if url is None:
        raise no_postgres("reader_url")
    try:
        with psycopg.connect(url.get_secret_value(), row_factory=dict_row, connect_timeout=10) as connection:
            connection.read_only = True
            cursor = connection.execute(query.encode())
            rows = cursor.fetchall() if cursor.description else []
            columns = [column.name for column in cursor.description or []]
    except psycopg.OperationalError as error:
        raise unreachable("Postgres", error) from None
    except psycopg.Error as error:
        raise UsageError(f"Postgres refused the query: {str(error).strip()}") from None
    if json:
        print_json(rows)
    elif output is Format.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows(row.values() for row in rows)
    else:
        print_rows(rows, columns)
