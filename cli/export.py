"""`tracemill export`: write traces and their scores to files for other tools."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from cli import export_files
from cli.export_files import BATCH, STDOUT, Columns
from cli.output import Json, print_json, progress_console
from tracemill.errors import UsageError, no_postgres, unreachable
from tracemill.settings import settings


class Format(StrEnum):
    parquet = "parquet"
    jsonl = "jsonl"
    hf = "hf"


def register(app: typer.Typer) -> None:
    app.command(help=EXPORT, rich_help_panel="Traces")(export)


EXPORT = """Write traces with their scores to a Parquet file, a JSON lines file or a folder for `datasets.load_dataset`.

Example: tracemill export good.parquet --where "accepted and method = 'cot'\""""


def export(
    output: Annotated[
        Path, typer.Argument(help="NAME.parquet, NAME.jsonl, the name of a folder, or - for standard output.")
    ],
    where: Annotated[str, typer.Option(help="SQL condition on the view trace_scores.")] = "accepted",
    columns: Annotated[str, typer.Option(help="Columns of trace_scores, separated by commas (default: all).")] = "",
    format: Annotated[Format | None, typer.Option(help="Format (default: by the name of the output).")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file or folder.")] = False,
    json: Json = False,
) -> None:
    format = format or _format_of(output)
    if output == STDOUT and (format is not Format.jsonl or json):
        raise UsageError("only JSON lines can go to standard output: name a file")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists: choose another name, or add --overwrite")
    with _rows(where, columns) as (total, names, batches), Progress(console=progress_console, transient=True) as bar:
        task = bar.add_task("exporting", total=total)
        with getattr(export_files, format)(output, names) as write:
            for rows in batches:
                write(rows)
                bar.advance(task, len(rows))
    if json:
        print_json({"output": output, "format": format, "rows": total, "columns": list(names)})
    elif output != STDOUT:
        print(f"{output}: {total:,} traces")


def _format_of(output: Path) -> Format:
    suffix = output.suffix.lower()
    if suffix == ".parquet":
        return Format.parquet
    if suffix in (".jsonl", ".ndjson") or output == STDOUT:
        return Format.jsonl
    if suffix:
        raise UsageError(f"{output}: its suffix is no known format: add --format parquet, jsonl or hf")
    return Format.hf


@contextmanager
def _rows(where: str, columns: str) -> Iterator[tuple[int, Columns, Iterator[list[dict[str, Any]]]]]:
    """Yield the number of rows, their columns, and the rows in batches. They are of one snapshot."""
    import psycopg
    from psycopg import sql
    from psycopg.rows import dict_row

    url = settings().reader_url
    if url is None:
        raise no_postgres("reader_url")
    identifiers = [sql.Identifier(name.strip()) for name in columns.split(",") if name.strip()]
    selected = sql.SQL(", ").join(identifiers) if identifiers else sql.SQL("*")
    # The user's SQL runs as a role that can only read the views. The line break ends a comment in it.
    rest = sql.SQL("from trace_scores where (") + sql.SQL(where) + sql.SQL("\n)")
    try:
        with psycopg.connect(url.get_secret_value(), connect_timeout=10) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            counted = connection.execute(sql.SQL("select count(*) ") + rest).fetchone()
            if counted == (0,):
                raise UsageError(f'no trace matches --where "{where}": there is nothing to export')
            with connection.cursor("export", row_factory=dict_row) as cursor:
                cursor.execute(sql.SQL("select ") + selected + sql.SQL(" ") + rest + sql.SQL(" order by trace_id"))
                kinds = {column.name: _kind(column.type_code) for column in cursor.description or []}
                yield counted[0] if counted else 0, kinds, iter(lambda: cursor.fetchmany(BATCH), [])
    except psycopg.OperationalError as error:
        raise unreachable("Postgres", error) from None
    except psycopg.Error as error:
        raise UsageError(f"Postgres refused --where or --columns: {str(error).strip()}") from None


def _kind(oid: int) -> str:
    from psycopg import postgres

    known = postgres.types.get(oid)
    return known.name if known else "text"
