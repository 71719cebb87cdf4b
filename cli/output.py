"""How commands print: tables for people, JSON for machines, progress on stderr so that stdout can be piped."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

#: In a pipe or a log there is no terminal to fit into.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
progress_console = Console(stderr=True, highlight=False)

#: Characters of a column and its border below which nothing in it could be read.
NARROWEST = 6


@contextmanager
def printing_on_stderr() -> Iterator[IO[bytes]]:
    """Yields standard output for the result alone: what a model's libraries print meanwhile goes to standard error."""
    sys.stdout.flush()
    with open(os.dup(1), "wb", buffering=0) as stdout, redirect_stdout(sys.stderr):
        os.dup2(2, 1)
        try:
            yield stdout
        finally:
            os.dup2(stdout.fileno(), 1)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, ensure_ascii=False, default=plain))


def plain(value: Any) -> Any:
    """What `json.dumps` shall write for a value that JSON does not know."""
    match value:
        case datetime():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case Path():
            return str(value)
        case _:
            return str(value)


def print_rows(rows: Iterable[Mapping[Any, Any]], columns: Iterable[str], title: str | None = None) -> None:
    """A table on stdout, or, with more columns than fit, each row with a line a column. Text of the rows is data: it is
    never read as markup."""
    names = list(columns)
    if len(names) * NARROWEST > console.width:
        _print_records(rows, names, title)
        return
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in names))
    console.print(table)


def _print_records(rows: Iterable[Mapping[Any, Any]], names: Iterable[str], title: str | None) -> None:
    if title:
        console.print(title, markup=False)
    number = 0
    for number, row in enumerate(rows, start=1):
        console.rule(f"row {number}", align="left")
        record = Table.grid("", Column(overflow="fold"), padding=(0, 2))
        for name in names:
            record.add_row(_cell(name), _cell(row[name]))
        console.print(record)
    if number == 0:
        console.print("no rows")


def _cell(value: Any) -> Any:
    from rich.text import Text

    match value:
        case None:
            return Text("")
        case bool():
            return Text("yes" if value else "no")
        case float():
            return Text(f"{value:.4g}")
        case datetime():
            return Text(f"{value:%Y-%m-%d %H:%M:%S}")
        case dict() | list():
            return Text(json.dumps(value, ensure_ascii=False))
        case _:
            return Text(str(value))
