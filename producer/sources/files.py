"""Question files: JSON Lines, JSON, CSV, TSV and Parquet, by path or glob.

Opening a source checks every file of a glob and its first rows. So all errors of the request come before the first row.
"""

from collections.abc import Callable, Iterator
from glob import glob
from itertools import islice
from json import dumps
from pathlib import Path
from shlex import quote
from typing import Any

from producer.sources.lines import check_encoding, csv_header, read_csv, read_json, read_jsonl
from producer.sources.rows import Broken, Row, Table, family
from producer.sources.streams import BATCH_ROWS, quiet_datasets, stream_table
from tracemill.errors import UsageError, reason_of

#: First rows of a JSON file that give its columns. A key that first occurs later is still kept in meta.
LOOK_AHEAD = 100
_GLOB_SIGNS = frozenset("*?[")


@family("", examples=("questions.jsonl", "'data/*.jsonl.gz'", "train.csv", "train.parquet"))
def open_files(pattern: str) -> list[Table]:
    """One table for each file, in the order of their names."""
    return [_open(path) for path in _paths(pattern)]


def _paths(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        raise UsageError(f"{pattern} is a folder: name files, for example '{pattern.rstrip('/')}/*.jsonl'")
    if path.exists():
        if not path.is_file():
            raise UsageError(f"{pattern} is not a regular file: save the questions to one first")
        return [path]
    if not _GLOB_SIGNS & set(pattern):
        raise UsageError(f"there is no file {pattern}{_neighbours(path)}")
    paths = sorted(Path(name) for name in glob(str(path), recursive=True) if Path(name).is_file())
    if not paths:
        raise UsageError(f"no file matches {pattern}")
    return paths


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}"
    alike = sorted(other.name for other in path.parent.iterdir() if other.stem == path.stem)
    return f", but there is {', '.join(alike)}" if alike else ""


def _open(path: Path) -> Table:
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    reader = _READERS.get(kind)
    if reader is None or (kind == ".parquet" and path.suffix == ".gz"):
        known = ", ".join(_READERS)
        raise UsageError(f"{path}: unknown kind of file {path.suffix!r}. Known: {known}, and .gz of all but .parquet")
    try:
        return reader(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None


def _open_json(path: Path) -> Table:
    table = _json_table(path, read_json)
    match [row for _, row in islice(read_json(path), 2)]:
        case [dict(document)]:
            arrays = [key for key, value in document.items() if isinstance(value, list) and is_objects(value)]
            if arrays:
                raise UsageError(
                    f"{path} is one object, and its rows are in {arrays[0]!r}. Write them to a file of their own: "
                    f"jq {quote('.[' + dumps(arrays[0]) + ']')} {quote(str(path))} > rows.json"
                )
    return table


def is_objects(values: list[object]) -> bool:
    """Whether these are JSON objects, which may be rows."""
    return bool(values) and all(isinstance(value, dict) for value in values)


def _open_jsonl(path: Path) -> Table:
    return _json_table(path, read_jsonl)


def _json_table(path: Path, read: Callable[[Path], Iterator[Row]]) -> Table:
    check_encoding(path)
    if next(read(path), None) is None:
        raise UsageError(f"{path} is empty: it holds no questions")
    objects = (row for _, row in read(path) if isinstance(row, dict))
    columns = {key: None for row in islice(objects, LOOK_AHEAD) for key in row}
    return Table(str(path), tuple(columns), lambda: read(path))


def _open_csv(path: Path) -> Table:
    check_encoding(path)
    columns = tuple(name for name in csv_header(path) if name)
    if next(read_csv(path), None) is None:
        raise UsageError(f"{path} holds no questions: there is only a header")
    return Table(str(path), columns, lambda: read_csv(path))


def _open_parquet(path: Path) -> Table:
    datasets = quiet_datasets()
    if path.stat().st_size == 0:
        raise UsageError(f"{path} is empty: it holds no questions")
    from pyarrow.parquet import ParquetFile

    def batches(columns: list[str]) -> Iterator[Any]:
        # Arrow, not `datasets`: the reader of `datasets` leaves a running thread if it is not read to the end. A
        # process that ends during that time is aborted (Arrow issue 45214).
        with ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)

    def breaks_off(row: int, error: Exception) -> Iterator[Row]:
        yield row, Broken(f"the file is damaged and cannot be read from about here on: {error}")

    try:
        with ParquetFile(path) as file:
            features = datasets.Features.from_arrow_schema(file.schema_arrow)
    except (OSError, ValueError) as error:  # pyarrow.ArrowInvalid is a ValueError
        raise UsageError(f"{path} is not a readable Parquet file: {reason_of(error)}") from None
    table = stream_table(str(path), features, batches, breaks_off)
    if next(table.rows(), None) is None:
        raise UsageError(f"{path} holds no questions: it has columns, but no rows")
    return table


_READERS: dict[str, Callable[[Path], Table]] = {
    ".jsonl": _open_jsonl,
    ".ndjson": _open_jsonl,
    ".json": _open_json,
    ".csv": _open_csv,
    ".tsv": _open_csv,
    ".parquet": _open_parquet,
}
