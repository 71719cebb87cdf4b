"""`tracemill export`: write traces and their scores to files for other tools."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, LiteralString

import typer

from cli import export_files
from cli.export_files import BATCH, COMPRESSED, STDOUT, Columns
from cli.export_layouts import LAYOUTS, READ, Layout, in_layout
from cli.output import Json, print_json, progress_bar
from tracemill.errors import UsageError, no_postgres, unreachable
from tracemill.settings import settings

if TYPE_CHECKING:
    import psycopg

#: The column that says whether a round may train on a trace.
USE = "training_use"
#: Its value for traces that a round may imitate; the only ones that are exported without --include.
TRAIN = "train"
#: Its value for traces whose question is also in an evaluation.
OVERLAP = "overlap"
#: The kinds of traces that --include adds.
OTHERS = ("rejected", "unverified", "negative", OVERLAP, "evaluate")
#: Names of columns that are read only to recognise overlaps.
_HIDDEN = ("_question", "_use")


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
adds others by name; the column training_use tells them apart.

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
    form = LAYOUTS[layout] if layout else None
    uses = (TRAIN, *form.also) if form else _uses(include)
    order = "question_id, trace_id" if form else "trace_id"
    with _rows(where, ",".join(READ) if form else columns, uses, order) as read, progress_bar() as bar:
        task = bar.add_task("exporting", total=read.most)
        batches = in_layout(form, read.batches) if form else read.batches
        with getattr(export_files, format)(output, form.columns if form else read.columns) as write:
            for n_read, rows in batches:
                write(rows)
                read.written += len(rows)
                bar.advance(task, n_read)
            if not read.written:
                raise _nothing(where, read)
    if json:
        print_json(
            {
                "output": output,
                "format": format,
                "rows": read.written,
                "columns": list(form.columns if form else read.columns),
                "left_out": dict(read.left_out),
            }
        )
    elif output != STDOUT:
        print(f"{output}: {read.written:,} {'rows' if form else 'traces'}")
        if read.left_out:
            print(f"left out: {_counts(read)}; --include NAME adds them")


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


@dataclass
class _Read:
    """The rows of an export, and their counts."""

    columns: Columns
    #: The largest possible number of rows.
    most: int
    #: For each batch: the number of rows that were read, and the rows to write.
    batches: Iterator[tuple[int, list[dict[str, Any]]]]
    #: Matching traces that are not written, by their `training_use`.
    left_out: Counter[str] = field(default_factory=Counter)
    written: int = 0


@contextmanager
def _rows(where: str, columns: str, uses: Sequence[str], order: LiteralString) -> Iterator[_Read]:
    """Read the rows of one snapshot."""
    import psycopg
    from psycopg import sql
    from psycopg.rows import dict_row

    url = settings().reader_url
    if url is None:
        raise no_postgres("reader_url")
    names = [name.strip() for name in columns.split(",") if name.strip()]
    if names and len(uses) > 1 and USE not in names:
        names.append(USE)
    selected = sql.SQL(", ").join(map(sql.Identifier, names)) if names else sql.SQL("trace_scores.*")
    hidden = sql.SQL("question as _question, training_use as _use")
    # The user's SQL runs as a role that can only read the views. The line break ends a comment in it.
    rest = sql.SQL("from trace_scores where (") + sql.SQL(where) + sql.SQL("\n)")
    try:
        with psycopg.connect(url.get_secret_value(), connect_timeout=10) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            counted = sql.SQL("select training_use, count(*) ") + rest + sql.SQL(" group by 1 order by 1")
            counts: Counter[str] = Counter(dict(connection.execute(counted).fetchall()))
            left_out = Counter({use: count for use, count in counts.items() if use not in uses})
            with connection.cursor("export", row_factory=dict_row) as cursor:
                cursor.execute(
                    sql.SQL("select {}, {} {} and training_use = any({}) order by {}").format(
                        selected, hidden, rest, sql.Literal(list(uses)), sql.SQL(order)
                    )
                )
                kinds = {
                    column.name: _kind(column.type_code)
                    for column in cursor.description or []
                    if column.name not in _HIDDEN
                }
                batches = iter(lambda: cursor.fetchmany(BATCH), [])
                overlaps = _overlaps(connection)
                kept = ((len(rows), _kept(rows, uses, overlaps, left_out)) for rows in batches)
                yield _Read(kinds, counts.total() - left_out.total(), kept, left_out)
    except psycopg.OperationalError as error:
        raise unreachable("Postgres", error) from None
    except psycopg.Error as error:
        raise UsageError(f"Postgres refused --where or --columns: {str(error).strip()}") from None


def _kept(
    rows: Iterable[dict[str, Any]], uses: Sequence[str], overlaps: Callable[[str], bool], left_out: Counter[str]
) -> list[dict[str, Any]]:
    """The rows to write. A question that resembles one of an evaluation is an overlap, as in a round's selection."""
    kept = []
    for row in rows:
        question, use = (row.pop(name) for name in _HIDDEN)
        if use not in (OVERLAP, "evaluate") and overlaps(question):
            if USE in row:
                row[USE] = OVERLAP
            if OVERLAP not in uses:
                left_out[OVERLAP] += 1
                continue
        kept.append(row)
    return kept


def _overlaps(connection: "psycopg.Connection[Any]") -> Callable[[str], bool]:
    """Whether a question overlaps one of an evaluation, by the rules and the default bounds of `[select]`."""
    from trainer.select.decontamination import Overlaps
    from trainer.select.spec import SelectSpec

    fields = SelectSpec.model_fields
    known = Overlaps(fields["ngram"].default, fields["overlap"].default)
    with connection.cursor("evaluations") as cursor:
        for question_id, question in cursor.execute("select question_id, question from evaluation_questions"):
            known.add(question_id, question)
    return lru_cache(10_000)(lambda question: known.find(question) is not None)


def _nothing(where: str, read: _Read) -> UsageError:
    matching = "no trace" if where == "true" else f'no trace that matches --where "{where}"'
    advice = f" ({_counts(read)}): --include NAME adds them" if read.left_out else ""
    return UsageError(f"{matching} may be trained on, so there is nothing to export{advice}")


def _counts(read: _Read) -> str:
    return ", ".join(f"{count:,} {use}" for use, count in read.left_out.items())


def _kind(oid: int) -> str:
    from psycopg import postgres

    known = postgres.types.get(oid)
    return known.name if known else "text"
