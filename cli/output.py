"""Output of commands: tables for people, JSON for machines. Progress goes to stderr, so stdout can be piped."""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType
from rich.progress import Progress, ProgressColumn
from rich.rule import Rule
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from cli.figures import leaves, shown
from tracemill.errors import EngineError
from tracemill.settings import settings
from tracemill.text import printable, printable_json


class SafeConsole(Console):
    """A console that shows escape sequences of texts by models, files and servers, and never sends them."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

#: As wide as the terminal, also in a pipe. Without a terminal COLUMNS decides, otherwise 80.
console = SafeConsole(highlight=False)
progress_console = SafeConsole(stderr=True, highlight=False)

#: Cells up to this many characters are never wrapped: names, figures with their intervals, dates.
MAX_UNWRAPPED = 24
#: A column is right-justified if all of its cells start like this.
FIGURE = re.compile(r"[-+]?\d")

Cells = Sequence[Sequence[Text]]


def progress_bar(*columns: str | ProgressColumn) -> Progress:
    """A progress bar on stderr. Without a terminal it prints nothing."""
    return Progress(*columns, console=progress_console, transient=True, disable=not progress_console.is_terminal)


def log_of(command: str) -> Path:
    """Return the log of a command's libraries, beside those of the local stack."""
    return settings().data_dir / "logs" / f"{command}.log"


@contextmanager
def libraries_in_log(log: Path) -> Iterator[IO[bytes]]:
    """Write all output of the process into a log, except progress, and yield standard output for the result.

    Libraries of models print to standard output and standard error, also from C and from their child processes. If the
    log cannot be written, their output goes to standard error. An EngineError of the block names the log.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with open(os.dup(1), "wb", buffering=0) as stdout, _saved_stderr() as stderr, redirect_stdout(sys.stderr):
        progress_console.file = stderr
        to_log = _diverted(log)
        try:
            yield stdout
        except EngineError as error:
            if to_log and log.stat().st_size:
                raise type(error)(f"{error}. Log: {log.absolute()}") from error
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stdout.fileno(), 1)
            if stderr is not sys.stderr:
                os.dup2(stderr.fileno(), 2)
            progress_console.file = None  # type: ignore[assignment]  # from now on sys.stderr again


@contextmanager
def _saved_stderr() -> Iterator[IO[str]]:
    """Yield a file that stays standard error while file descriptor 2 is something else."""
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except OSError:  # it is a file in memory, without a descriptor
        yield sys.stderr
        return
    with open(descriptor, "w", encoding=sys.stderr.encoding, errors=sys.stderr.errors, buffering=1) as saved:
        yield saved


def _diverted(log: Path) -> bool:
    """Send the file descriptors 1 and 2 into a log. False: it cannot be written, so both are standard error now."""
    try:
        for folder in (log.parent.parent, log.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    except OSError:
        os.dup2(2, 1)
        return False
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    return True


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    print(json_line(value))


def json_line(value: Any) -> str:
    """JSON without a character that a terminal would obey."""
    return printable_json(json.dumps(value, ensure_ascii=False, default=json_default))


def json_default(value: Any) -> Any:
    """Convert a value that JSON does not know, for `json.dumps(default=…)`."""
    match value:
        case datetime():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case Path():
            return str(value)
        case _:
            return str(value)


def print_line(text: str, out: Console = console) -> None:
    """Print a sentence as it is: no line breaks are added, and brackets are not read as markup."""
    out.print(text, markup=False, soft_wrap=True)


def print_rows(
    rows: Iterable[Mapping[Any, Any]],
    columns: Iterable[str],
    title: str | None = None,
    out: Console = console,
    optional: Sequence[str] = (),
) -> None:
    """Print rows as a table, or as records if the table does not fit."""
    out.print(layout(rows, columns, out.width, title, optional))


def print_facts(facts: Mapping[str, Any], title: str | None = None, out: Console = console) -> None:
    """Print names and their values, a line each. Nested values get dotted names, and empty ones are left out."""
    pairs = [[Text(name), cell] for name, value in leaves(facts) if (cell := _cell(value)).plain]
    grid = _grid(pairs, out.width, _justify(value.plain for _, value in pairs))
    out.print(Group(*_titled(title), grid))


def layout(
    rows: Iterable[Mapping[Any, Any]],
    columns: Iterable[str],
    width: int,
    title: str | None = None,
    optional: Sequence[str] = (),
) -> RenderableType:
    """Lay out rows as a table, or as one record a row if the table is wider than `width`.

    A table fits if no name, figure or part of a heading is cut: cells wrap between words, headings also after "_".
    A table of several rows first loses the `optional` columns, in their order, until it fits.
    Text of the rows is data and never read as markup.
    """
    rows, names = list(rows), list(columns)
    droppable = optional if len(rows) > 1 else ()
    for n_dropped in range(len(droppable) + 1):
        kept = [name for name in names if name not in droppable[:n_dropped]]
        cells = [[_cell(row[name]) for name in kept] for row in rows]
        widths = _column_widths(kept, cells, width - 3 * len(kept) - 1)
        if widths is not None:
            table = _table(kept, cells, widths, title)
            return table if rows else Group(table, Text("no rows"))
    return _records(names, [[_cell(row[name]) for name in names] for row in rows], width, title)


def _column_widths(names: Sequence[str], cells: Cells, room: int) -> list[int] | None:
    """Return the width of each column, or None if all of them together do not fit into `room`."""
    columns = [[row[index].plain for row in cells] for index in range(len(names))]
    narrow = [_narrowest(name, column) for name, column in zip(names, columns, strict=True)]
    wide = [
        max(least, cell_len(name), _longest(line for text in column for line in text.splitlines()))
        for name, column, least in zip(names, columns, narrow, strict=True)
    ]
    spare = room - sum(narrow)
    if spare < 0:
        return [room] if len(names) == 1 else None
    widths = list(narrow)
    by_need = sorted(range(len(names)), key=lambda index: wide[index] - narrow[index])
    for position, index in enumerate(by_need):
        extra = min(wide[index] - narrow[index], spare // (len(names) - position))
        widths[index] += extra
        spare -= extra
    return widths


def _narrowest(name: str, column: Iterable[str]) -> int:
    """Return the smallest width at which each word, each short cell and each part of the heading is whole."""
    texts = list(column)
    words = _longest(word for text in texts for word in text.split())
    parts = _longest(part.rstrip() for part in _parts(name))
    return max(parts, words, min(_longest(texts), MAX_UNWRAPPED))


def _longest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _table(names: Sequence[str], cells: Cells, widths: Sequence[int], title: str | None) -> Table:
    table = Table(title=Text(title, "table.title") if title else None, title_justify="left")
    for index, (name, width) in enumerate(zip(names, widths, strict=True)):
        justify = _justify(row[index].plain for row in cells)
        table.add_column(_heading(name, width), width=width, justify=justify, overflow="fold")
    for row in cells:
        table.add_row(*row)
    return table


def _justify(column: Iterable[str]) -> JustifyMethod:
    texts = [text for text in column if text]
    return "right" if texts and all(map(FIGURE.match, texts)) else "left"


def _parts(name: str) -> list[str]:
    """Split a heading where it may be wrapped: after a space or an underscore."""
    return re.split(r"(?<=[_\s])", name)


def _heading(name: str, width: int) -> Text:
    lines = [""]
    for part in _parts(name):
        if lines[-1] and cell_len((lines[-1] + part).rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return Text("\n".join(map(str.rstrip, lines)))


def _records(names: Sequence[str], cells: Cells, width: int, title: str | None) -> Group:
    """Lay out each row as a block of lines: `name value`, several on a line if all of them are short.

    The first column heads the block if it is short. Otherwise the number of the row does.
    """
    headings = [f"{names[0]} {row[0]}".strip() for row in cells]
    if all(row[0].plain.strip() and "\n" not in row[0].plain for row in cells) and _longest(headings) < width - 4:
        names, cells = names[1:], [row[1:] for row in cells]
    else:
        headings = [f"row {number}" for number in range(1, len(cells) + 1)]
    label = _longest(names)
    value = _longest(line for row in cells for cell in row for line in cell.plain.splitlines())
    per_line = min(len(names), (width + 1) // (label + value + 4))
    blocks = _titled(title)
    for heading, row in zip(headings, cells, strict=True):
        pairs = list(zip(map(Text, names), row, strict=True))
        blocks.append(Rule(Text(heading), align="left"))
        blocks.append(_short_pairs(pairs, per_line, label, value) if per_line > 1 else _grid(pairs, width))
    return Group(*blocks) if cells else Group(*blocks, Text("no rows"))


def _short_pairs(pairs: Cells, per_line: int, label: int, value: int) -> Table:
    grid = Table.grid(*(Column(width=size) for size in (label, value + 2) * per_line), padding=(0, 1))
    for start in range(0, len(pairs), per_line):
        grid.add_row(*(text for pair in pairs[start : start + per_line] for text in pair))
    return grid


def _grid(pairs: Cells, width: int, justify: JustifyMethod = "left") -> Table:
    """Lay out names and values, a line each."""
    room = width - 2
    label = min(_longest(name.plain for name, _ in pairs), room // 2)
    label, value = _column_widths(("", ""), pairs, room) or (label, room - label)  # fold long words
    grid = Table.grid(
        Column(width=label, overflow="fold"), Column(width=value, overflow="fold", justify=justify), padding=(0, 2)
    )
    for pair in pairs:
        grid.add_row(*pair)
    return grid


def _titled(title: str | None) -> list[RenderableType]:
    return [Text(title, "table.title")] if title else []


def _cell(value: Any) -> Text:
    return value if isinstance(value, Text) else Text(printable(shown(value)))
