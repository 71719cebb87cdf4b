"""File formats of `tracemill export`. An output gets its name only when it is complete."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import json_default
from tracemill.errors import TracemillError, reason_of

if TYPE_CHECKING:
    import pyarrow

#: For each column the name of its type in Postgres (pg_type).
Columns = Mapping[str, str]
Write = Callable[[list[dict[str, Any]]], None]

STDOUT = Path("-")
#: Rows that are read and written at a time.
BATCH = 2_000
#: Rows in each file of a data set's folder.
SHARD = 50 * BATCH
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

    if output == STDOUT:
        yield lambda rows: sys.stdout.writelines(lines(rows))
    else:
        with _unfinished(output) as part, part.open("w", encoding="utf-8") as file:
            yield lambda rows: file.writelines(lines(rows))


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
                    name: pyarrow.array([_value(row[name], kind) for row in rows], _arrow(kind))
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
    return known.get(kind, pyarrow.string())


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
        _remove(output)
        part.rename(output)
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
