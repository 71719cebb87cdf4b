"""Cells of CSV files that no spreadsheet runs as a formula and no terminal obeys."""

import re
from typing import IO, Annotated, Any

import typer

from tracemill.text import printable

Raw = Annotated[
    bool, typer.Option("--raw", help="In CSV: cells that begin like a formula get no leading ' (for programs).")
]

#: Texts that spreadsheets run. Plain figures are none: -5, +3.5%, -1,000.
_FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.,]+%?\Z)")


def csv_cell(value: Any, raw: bool, file: IO[str]) -> Any:
    """The value for a CSV file or terminal. A text that begins like a formula gets a leading `'`, unless `raw`."""
    if not isinstance(value, str):
        return value
    if not raw and _FORMULA.match(value):
        value = f"'{value}"
    return printable(value) if file.isatty() else value
