"""`tracemill export`: write traces and their scores to files for other tools."""

import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import export_files
from cli.csv_cells import Raw
from cli.export_files import COMPRESSED, FORMATS, STDOUT, Piece, Progress, Unfinished, Write
from cli.export_layouts import LAYOUTS, READ, Layout
from cli.interruption import explained_interrupt, this_command
from cli.output import Json, print_json, print_line, progress_bar, progress_console
from tracemill.errors import UsageError, no_postgres
from tracemill.settings import settings

if TYPE_CHECKING:
    from cli.export_rows import Batch, Traces

#: The value of `training_use` for traces that a round may imitate; the only ones that are exported without --include.
TRAIN = "train"
#: The kinds of traces that --include adds.
OTHERS = ("rejected", "unverified", "negative", "round", "overlap", "evaluate")


class Format(StrEnum):
    parquet = "parquet"
    jsonl = "jsonl"
    csv = "csv"
    hf = "hf"


_SUFFIXES = {".parquet": Format.parquet, ".jsonl": Format.jsonl, ".ndjson": Format.jsonl, ".csv": Format.csv}


def register(app: typer.Typer) -> None:
    app.command(help=EXPORT, rich_help_panel="Traces")(export)


EXPORT = """Write the traces that a round may train on, with their scores, to a file or a folder.

These are accepted traces of teach jobs that are not wrong on purpose, if no evaluation has their question. --include
adds others by name; the column training_use tells them apart. An interrupted export to a file continues if the same
command runs again.

--as writes the layout of another trainer instead: messages, prompt-completion or preference (trl), sharegpt, alpaca, or
verl (each question once, with its gold answer). preference pairs an accepted trace with a wrong one of its question.

Example: tracemill export good.parquet --where "method = 'cot'"

Example: tracemill export pairs.jsonl --as preference"""


def export(
    output: Annotated[
        Path,
        typer.Argument(
            help="NAME.parquet, NAME.jsonl, NAME.csv (the last two also with .gz or .zst), the name of a folder for "
            "`datasets.load_dataset`, or - for standard output."
        ),
    ],
    where: Annotated[str, typer.Option(help="SQL condition on the view trace_scores.")] = "true",
    include: Annotated[
        str, typer.Option(help=f"Also other traces, separated by commas: {', '.join(OTHERS)}; or all.")
    ] = "",
    columns: Annotated[str, typer.Option(help="Columns of trace_scores, separated by commas (default: all).")] = "",
    format: Annotated[Format | None, typer.Option(help="Format (default: by the name of the output).")] = None,
    layout: Annotated[
        Layout | None, typer.Option("--as", help="A layout of other trainers instead of columns of trace_scores.")
    ] = None,
    raw: Raw = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file or folder.")] = False,
    json: Json = False,
) -> None:
    format = format or _format_of(output)
    if output == STDOUT and (format not in (Format.jsonl, Format.csv) or json):
        raise UsageError("only JSON lines and CSV can go to standard output: name a file")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists: choose another name, or add --overwrite")
    if layout and (include or columns):
        raise UsageError(f"--as {layout} has its own columns and traces: leave --columns and --include out")
    from cli.export_rows import USE, Traces

    form = LAYOUTS[layout] if layout else None
    uses, url = (TRAIN, *form.also) if form else _uses(include), settings().reader_url
    if url is None:
        raise no_postgres("reader_url")
    names = [*READ] if form else [name.strip() for name in columns.split(",") if name.strip()]
    if names and len(uses) > 1 and USE not in names:
        names.append(USE)
    traces = Traces(url.get_secret_value(), where, names, uses, form, by_question=form is not None)
    rows = {"where": where, "columns": names, "uses": list(uses), "layout": layout, "raw": raw}
    progress = Progress(rows | {"format": format, "first": traces.first}, 0, traces.end)
    if output == STDOUT:
        with FORMATS[format].write(Piece(STDOUT, traces.kinds, raw=raw)) as write:
            _copy(traces.batches(0, traces.end), write, progress)
        _require_rows(progress)
        return
    again = f"The export continues when you repeat: {this_command()}"
    with explained_interrupt(again), export_files.explained(output):
        progress = write_pieces(Unfinished(output, FORMATS[format]), traces, progress, raw)
    if json:
        counts = {"rows": progress.rows, "left_out": progress.left_out}
        print_json({"output": output, "format": format, "columns": list(traces.kinds), **counts})
    else:
        if format == Format.csv and not raw:
            print_line("CSV cells that begin like a formula have a leading '; --raw leaves it out", progress_console)
        print_line(f"{output}: {progress.rows:,} {'rows' if form else 'traces'}")
        if progress.left_out:
            print_line(f"left out: {_counts(progress)}{_option(progress, '; ')}")


def write_pieces(unfinished: Unfinished, traces: "Traces", new: Progress, raw: bool) -> Progress:
    """Write the traces in pieces, after those of an interrupted export, and join them."""
    progress = unfinished.begin(new)
    if progress.rows:
        print_line(f"continuing after {progress.rows:,} traces of an interrupted export", progress_console)
    batches = traces.batches(progress.after, progress.end)
    try:
        with progress_bar() as bar:
            task = bar.add_task("exporting", total=progress.end)
            while progress.after < progress.end:
                with unfinished.piece(progress, traces.kinds, raw) as write:
                    _copy(batches, write, progress, lambda: bar.update(task, completed=progress.after), in_pieces=True)
                progress.pieces += 1
                unfinished.save(progress)
        _require_rows(progress)
        unfinished.finish(progress)
    finally:
        if not (progress.pieces and progress.rows):
            unfinished.remove()
    return progress


def _copy(
    batches: "Iterator[Batch]",
    write: Write,
    progress: Progress,
    show: Callable[[], object] = lambda: None,
    *,
    in_pieces: bool = False,
) -> None:
    """Write and count batches: all, or those of one piece."""
    started, rows_before = time.monotonic(), progress.rows
    for batch in batches:
        write(batch.rows)
        progress.add(batch.last, len(batch.rows), batch.left_out)
        show()
        is_full = progress.rows - rows_before >= export_files.PIECE
        if in_pieces and (is_full or time.monotonic() - started > export_files.PIECE_SECONDS):
            break


def _require_rows(progress: Progress) -> None:
    """Raise UsageError if there is nothing to export."""
    if progress.rows:
        return
    where = progress.request["where"]
    matching = "no trace" if where == "true" else f'no trace that matches --where "{where}"'
    advice = f" ({_counts(progress)}){_option(progress, ': ')}" if progress.left_out else ""
    raise UsageError(f"{matching} may be trained on, so there is nothing to export{advice}")


def _counts(progress: Progress) -> str:
    return ", ".join(f"{count:,} {use}" for use, count in progress.left_out.items())


def _option(progress: Progress, separator: str) -> str:
    """The option that adds the traces that are left out. A layout takes no such option."""
    return "" if progress.request["layout"] else f"{separator}--include NAME adds them"


def _format_of(output: Path) -> Format:
    name = output.with_suffix("") if output.suffix.lower() in COMPRESSED else output
    known = _SUFFIXES.get(name.suffix.lower())
    if output == STDOUT:
        return Format.jsonl
    if known and (name == output or known in (Format.jsonl, Format.csv)):
        return known
    if output.suffix:
        raise UsageError(f"{output}: its suffix is no known format: add --format parquet, jsonl, csv or hf")
    return Format.hf


def _uses(include: str) -> tuple[str, ...]:
    """The values of `training_use` to export. Raises UsageError for an unknown one."""
    names = [name.strip() for name in include.split(",") if name.strip()]
    if unknown := [name for name in names if name not in (*OTHERS, TRAIN, "all")]:
        raise UsageError(f"--include {unknown[0]}: there is no such kind of trace; choose {', '.join(OTHERS)} or all")
    return (TRAIN, *OTHERS) if "all" in names else (TRAIN, *dict.fromkeys(names))
