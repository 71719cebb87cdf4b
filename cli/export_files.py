"""File formats of `tracemill export`. An output gets its name only when it is complete."""

import csv as csv_module
import gzip
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from cli.output import json_default
from tracemill.errors import TracemillError, reason_of

if TYPE_CHECKING:
    import pyarrow

#: For each column the name of its type in Postgres (pg_type).
Columns = Mapping[str, str]
Write = Callable[[list[dict[str, Any]]], None]

STDOUT = Path("-")
#: Rows that are read and written at a time. Long thoughts are about 100 KB a row.
BATCH = 500
#: Rows in each file of a data set's folder.
SHARD = 200 * BATCH
#: Endings of compressed text files.
COMPRESSED = (".gz", ".zst")
#: Types of the columns of `cli.export_layouts`: the fields of an object, or of each object in a list.
NESTED: dict[str, list[dict[str, str]] | dict[str, str]] = {
    "messages": [{"role": "text", "content": "text"}],
    "turns": [{"from": "text", "value": "text"}],
    "reward_model": {"style": "text", "ground_truth": "text"},
    "extra_info": {"index": "int8"},
}
CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
---
Reasoning traces with their verdicts, one a row, exported by Tracemill.
"""


@contextmanager
def jsonl(output: Path, columns: Columns) -> Iterator[Write]:
    """Write one JSON object a line. `-` is standard output."""

    def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
        return (json.dumps(row, ensure_ascii=False, default=json_default) + "\n" for row in rows)

    with _text(output) as file:
        yield lambda rows: file.writelines(lines(rows))


@contextmanager
def csv(output: Path, columns: Columns) -> Iterator[Write]:
    """Write a header and one row a trace. Null is empty, and JSON columns become text. `-` is standard output."""
    with _text(output) as file:
        writer = csv_module.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield lambda rows: writer.writerows([_cell(row[name], columns[name]) for name in columns] for row in rows)


def _cell(value: Any, kind: str) -> Any:
    return json.dumps(value) if isinstance(value, bool) else _value(value, kind)


@contextmanager
def _text(output: Path) -> Iterator[IO[str]]:
    """Open a text file in UTF-8, compressed if its name ends in one of `COMPRESSED`."""
    if output == STDOUT:
        yield sys.stdout
        return
    with _unfinished(output) as part, _binary(part, output.suffix.lower()) as binary:
        file = io.TextIOWrapper(binary, encoding="utf-8", newline="", write_through=True)
        yield file
        file.flush()


@contextmanager
def _binary(part: Path, suffix: str) -> Iterator[IO[bytes]]:
    if suffix == ".zst":
        import pyarrow

        with pyarrow.CompressedOutputStream(str(part), "zstd") as stream:
            yield cast("IO[bytes]", stream)
    elif suffix == ".gz":
        # mtime=0: equal rows give equal files.
        with part.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as compressed:
            yield cast("IO[bytes]", compressed)
    else:
        with part.open("wb") as file:
            yield file


@contextmanager
def parquet(output: Path, columns: Columns) -> Iterator[Write]:
    """Write one Parquet file. JSON columns become text."""
    with _unfinished(output) as part, _parquet(part, columns) as write:
        yield write


@contextmanager
def hf(output: Path, columns: Columns) -> Iterator[Write]:
    """Write a folder for `datasets.load_dataset`: a card, and Parquet files of SHARD rows."""
    with _unfinished(output) as part, ExitStack() as shard:
        (part / "data").mkdir(parents=True)
        (part / "README.md").write_text(CARD, encoding="utf-8")
        written = 0
        write_shard: Write | None = None

        def write(rows: list[dict[str, Any]]) -> None:
            nonlocal written, write_shard
            if write_shard is None or written % SHARD == 0:
                shard.close()
                file = part / "data" / f"train-{written // SHARD:05}.parquet"
                write_shard = shard.enter_context(_parquet(file, columns))
            write_shard(rows)
            written += len(rows)

        yield write


@contextmanager
def _parquet(file: Path, columns: Columns) -> Iterator[Write]:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = pyarrow.schema([(name, _arrow(kind)) for name, kind in columns.items()])
    with ParquetWriter(file, schema) as writer:
        yield lambda rows: writer.write_table(
            pyarrow.table(
                {
                    name: pyarrow.array([_stored(row[name], kind) for row in rows], _arrow(kind))
                    for name, kind in columns.items()
                }
            )
        )


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


def _stored(value: Any, kind: str) -> Any:
    return value if kind in NESTED else _value(value, kind)


def _value(value: Any, kind: str) -> Any:
    match value:
        case None | bool() | int() | float() | str() | datetime():
            return value
        case Decimal():
            return float(value)
        case _:
            return json.dumps(value, ensure_ascii=False, default=json_default)


@contextmanager
def _unfinished(output: Path) -> Iterator[Path]:
    """Yield a temporary name beside `output`. It is renamed to `output` on success and removed after an error."""
    part = output.with_name(f".{output.name}.part")
    try:
        _remove(part)  # left by an export that was killed
        output.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if part.is_dir() or output.is_dir():
            _remove(output)
        os.replace(part, output)
    except OSError as error:
        raise TracemillError(f"cannot write {output}: {reason_of(error)}") from None
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
