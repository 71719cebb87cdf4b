"""File formats of `tracemill export`.

An output gets its name only when it is complete. Until then a folder beside it has complete pieces of it, and the
progress of the export, so that the same command continues after an interruption.
"""

import csv as csv_module
import gzip
import io
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from cli.csv_cells import csv_cell
from cli.output import json_default, json_line
from tracemill.errors import TracemillError, reason_of

if TYPE_CHECKING:
    import pyarrow

#: For each column the name of its type in Postgres (pg_type).
Columns = Mapping[str, str]
Write = Callable[[list[dict[str, Any]]], None]

STDOUT = Path("-")
#: Rows that are read and written at a time. Long thoughts are about 100 KB a row.
BATCH = 500
#: Rows in each piece, and the seconds after which it ends with fewer rows.
PIECE, PIECE_SECONDS = 200 * BATCH, 60.0
#: Endings of compressed text files.
COMPRESSED = (".gz", ".zst")
#: Types of the columns of `cli.export_layouts`: the fields of an object, or of each object in a list.
NESTED: dict[str, list[dict[str, str]] | dict[str, str]] = {
    "messages": [{"role": "text", "content": "text"}],
    "turns": [{"from": "text", "value": "text"}],
    "reward_model": {"style": "text", "ground_truth": "text"},
    "extra_info": {"index": "int8"},
}
#: Types of Postgres whose values Arrow takes as psycopg reads them.
PLAIN = frozenset(("int2", "int4", "int8", "float4", "float8", "bool", "timestamptz", "text", "varchar"))
CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
---
Reasoning traces with their verdicts, one a row, exported by Tracemill.
"""


class Piece(NamedTuple):
    """A piece of an output, or standard output."""

    path: Path
    columns: Columns
    #: Empty, or one of `COMPRESSED`.
    compression: str = ""
    is_first: bool = True
    #: Whether CSV cells that begin like a formula stay as they are.
    raw: bool = False


class Format(NamedTuple):
    """How to write a piece, and how to make the whole output from the files of all pieces, in order."""

    write: Callable[[Piece], AbstractContextManager[Write]]
    join: Callable[[Sequence[Path], Path], None]


@contextmanager
def _json_lines(piece: Piece) -> Iterator[Write]:
    """Write one JSON object a line."""

    def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
        return (json_line(row) + "\n" for row in rows)

    with _text(piece) as file:
        yield lambda rows: file.writelines(lines(rows))


@contextmanager
def _csv_lines(piece: Piece) -> Iterator[Write]:
    """Write one row a trace, after a header in the first piece. Null is empty, and JSON columns become text."""
    columns = piece.columns
    with _text(piece) as file:
        writer = csv_module.writer(file, lineterminator="\n")
        if piece.is_first:
            writer.writerow(columns)
        yield lambda rows: writer.writerows(
            [csv_cell(_cell(row[name]), piece.raw, file) for name in columns] for row in rows
        )


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool) else _value(value)


@contextmanager
def _text(piece: Piece) -> Iterator[IO[str]]:
    """Open a text file in UTF-8; `-` is standard output."""
    if piece.path == STDOUT:
        yield sys.stdout
        return
    with _binary(piece.path, piece.compression) as binary:
        file = io.TextIOWrapper(binary, encoding="utf-8", newline="", write_through=True)
        yield file
        file.flush()


@contextmanager
def _binary(path: Path, compression: str) -> Iterator[IO[bytes]]:
    if compression == ".zst":
        import pyarrow

        with pyarrow.CompressedOutputStream(str(path), "zstd") as stream:
            yield cast("IO[bytes]", stream)
    elif compression == ".gz":
        # mtime=0: equal rows give equal files.
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as compressed:
            yield cast("IO[bytes]", compressed)
    else:
        with path.open("wb") as file:
            yield file


def _append(pieces: Sequence[Path], whole: Path) -> None:
    """Join text files. Compressed ones too: gzip and zstd allow several streams in a file."""
    with whole.open("wb") as file:
        for piece in pieces:
            with piece.open("rb") as content:
                shutil.copyfileobj(content, file, 2**20)


@contextmanager
def _parquet(piece: Piece) -> Iterator[Write]:
    """Write a Parquet file. JSON columns become text."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    columns = piece.columns
    schema = pyarrow.schema([(name, _arrow(kind)) for name, kind in columns.items()])
    with ParquetWriter(piece.path, schema) as writer:
        yield lambda rows: writer.write_table(
            pyarrow.table(
                {
                    name: pyarrow.array(_stored([row[name] for row in rows], kind), _arrow(kind))
                    for name, kind in columns.items()
                }
            )
        )


def _join_parquet(pieces: Sequence[Path], whole: Path) -> None:
    from pyarrow.parquet import ParquetFile, ParquetWriter

    if len(pieces) == 1:
        link(pieces[0], whole)
        return
    with ParquetWriter(whole, ParquetFile(pieces[0]).schema_arrow) as writer:
        for piece in pieces:
            for batch in ParquetFile(piece).iter_batches():
                writer.write_batch(batch)


def _folder(pieces: Sequence[Path], whole: Path) -> None:
    """Make a folder for `datasets.load_dataset`: a card, and the pieces."""
    (whole / "data").mkdir(parents=True)
    (whole / "README.md").write_text(CARD, encoding="utf-8")
    for number, piece in enumerate(pieces):
        link(piece, whole / "data" / f"train-{number:05}.parquet")


def link(piece: Path, path: Path) -> None:
    """Give a piece another name. It keeps its own, in case that this process is killed."""
    try:
        os.link(piece, path)
    except OSError:  # a file system without links
        shutil.copyfile(piece, path)


FORMATS = {
    "parquet": Format(_parquet, _join_parquet),
    "jsonl": Format(_json_lines, _append),
    "csv": Format(_csv_lines, _append),
    "hf": Format(_parquet, _folder),
}


def _arrow(kind: str) -> "pyarrow.DataType":
    import pyarrow

    known = {
        "int2": pyarrow.int16(),
        "int4": pyarrow.int32(),
        "int8": pyarrow.int64(),
        "float4": pyarrow.float32(),
        "float8": pyarrow.float64(),
        "numeric": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "timestamptz": pyarrow.timestamp("us", "UTC"),
    }
    return _arrow_of(NESTED[kind]) if kind in NESTED else known.get(kind, pyarrow.string())


def _arrow_of(fields: list[dict[str, str]] | dict[str, str]) -> "pyarrow.DataType":
    import pyarrow

    if isinstance(fields, list):
        return pyarrow.list_(_arrow_of(fields[0]))
    return pyarrow.struct([(name, _arrow(kind)) for name, kind in fields.items()])


def _stored(values: list[Any], kind: str) -> list[Any]:
    return values if kind in NESTED or kind in PLAIN else list(map(_value, values))


def _value(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str() | datetime():
            return value
        case Decimal():
            return float(value)
        case _:
            return json.dumps(value, ensure_ascii=False, default=json_default)


@dataclass
class Progress:
    """The pieces of an output that are complete."""

    #: The values that the same command has again. Another one starts anew.
    request: dict[str, Any]
    #: The traces up to `after` are in the pieces or left out, and the export ends with `end`.
    after: int
    end: int
    pieces: int = 0
    rows: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, last: int, rows: int, left_out: Mapping[str, int]) -> None:
        """Count the traces up to the id `last`: `rows` of them are written."""
        self.after = last
        self.rows += rows
        self.left_out = dict(Counter(self.left_out) + Counter(left_out))


class Unfinished:
    """The folder of an output that is not complete yet."""

    def __init__(self, output: Path, format: Format) -> None:
        self.output, self.format = output, format
        self.compression = output.suffix.lower() if output.suffix.lower() in COMPRESSED else ""
        self.folder = output.with_name(f".{output.name}.part")
        self._file = self.folder / "progress.json"

    def begin(self, new: Progress) -> Progress:
        """The progress of an interrupted export with the same request; otherwise the new one, in an empty folder."""
        with suppress(OSError, ValueError, TypeError):
            stored = Progress(**json.loads(self._file.read_text(encoding="utf-8")))
            if stored.request == new.request:
                return stored
        self.remove()
        self.folder.mkdir(parents=True)
        return new

    @contextmanager
    def piece(self, progress: Progress, columns: Columns, raw: bool) -> Iterator[Write]:
        """Write the next piece. It counts when the block has ended and `save` is called."""
        number = progress.pieces
        with self.format.write(Piece(self._piece(number), columns, self.compression, number == 0, raw)) as write:
            yield write

    def save(self, progress: Progress) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(asdict(progress)), encoding="utf-8")
        new.replace(self._file)

    def finish(self, progress: Progress) -> None:
        """Make the whole output from the pieces, and give it its name."""
        whole = self.folder / "whole"
        _remove(whole)  # left by an export that was killed
        self.format.join([self._piece(number) for number in range(progress.pieces)], whole)
        if whole.is_dir() or self.output.is_dir():
            _remove(self.output)
        os.replace(whole, self.output)
        self.remove()

    def remove(self) -> None:
        _remove(self.folder)

    def _piece(self, number: int) -> Path:
        return self.folder / f"{number:05}"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


@contextmanager
def explained(output: Path) -> Iterator[None]:
    """Turn an error of the file system into a sentence."""
    try:
        yield
    except OSError as error:
        raise TracemillError(f"cannot write {output}: {reason_of(error)}") from None
