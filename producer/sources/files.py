"""Question files: JSON Lines, JSON, CSV, TSV, Parquet and Arrow, by path or glob.

Opening a source checks every file of a glob and its first rows. So all errors of the request come before the first row.
"""

from collections.abc import Callable, Iterator
from glob import glob
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any

from producer.sources.arrow_tables import BATCH_ROWS, PACKED_ROWS, arrow_table, import_pyarrow
from producer.sources.documents import read_document
from producer.sources.lines import (
    COMPRESSIONS,
    check_encoding,
    csv_header,
    is_array,
    is_document,
    read_array,
    read_csv,
    read_jsonl,
)
from producer.sources.rows import Broken, Row, Table, family
from tracemill.errors import UsageError, reason_of

#: First rows of a JSON file that give its columns. A later row may have more.
LOOK_AHEAD = 100
_GLOB_SIGNS = frozenset("*?[")


@family("", examples=("questions.jsonl", "'data/*.jsonl.gz'", "train.csv", "train.parquet"))
def open_files(pattern: str) -> list[Table]:
    """One table for each file, in the order of their names."""
    return [_open(path) for path in _paths(pattern)]


def _paths(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        raise UsageError(f"{pattern} is a folder{_inside(path)}")
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


def _inside(folder: Path) -> str:
    """A pattern for the files of a folder, for a message."""
    endings = sorted({kind for other in folder.iterdir() if (kind := _ending(other)) and kind in _READERS})
    if not endings:
        return f" without question files: {', '.join(_READERS)}"
    return f": name its files, for example {quote(f'{folder}/*{endings[0]}')}"


def _ending(path: Path) -> str:
    """The kind of a file: the end of its name, without that of its compression."""
    return path.with_suffix("").suffix if path.suffix in COMPRESSIONS else path.suffix


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}"
    alike = sorted(other.name for other in path.parent.iterdir() if other.stem == path.stem)
    return f", but there is {', '.join(alike)}" if alike else ""


def _open(path: Path) -> Table:
    reader = _READERS.get(_ending(path))
    if reader is None or (reader in (_open_parquet, _open_arrow) and path.suffix in COMPRESSIONS):
        known, packed = ", ".join(_READERS), ", ".join(COMPRESSIONS)
        raise UsageError(
            f"{path}: unknown kind of file {path.suffix!r}. Known: {known}, and text files with {packed} at the end"
        )
    try:
        return reader(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None


def _open_json(path: Path) -> Table:
    check_encoding(path)
    if is_array(path):
        return _json_table(path, lambda: read_array(path))
    if is_document(path) and (rows := read_document(path)) is not None:
        return _json_table(path, lambda: iter(enumerate(rows, 1)))
    return _json_table(path, lambda: read_jsonl(path))


def _json_table(path: Path, rows: Callable[[], Iterator[Row]]) -> Table:
    first = [row for _, row in islice(rows(), LOOK_AHEAD)]
    if not first:
        raise UsageError(f"{path} is empty: it holds no questions")
    columns = {key: None for row in first if not isinstance(row, str) for key in row}
    return Table(str(path), tuple(columns), rows, grows=True)


def _open_csv(path: Path) -> Table:
    check_encoding(path)
    columns = tuple(name for name in csv_header(path) if name)
    if next(read_csv(path), None) is None:
        raise UsageError(f"{path} holds no questions: there is only a header")
    return Table(str(path), columns, lambda: read_csv(path))


def _open_parquet(path: Path) -> Table:
    import_pyarrow()
    from pyarrow.parquet import ParquetFile

    def batches(columns: list[str]) -> Iterator[Any]:
        # Arrow, not `datasets`: the reader of `datasets` leaves a running thread if it is not read to the end. A
        # process that ends during that time is aborted (Arrow issue 45214).
        with ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(PACKED_ROWS, columns=columns, use_threads=False)

    def schema() -> Any:
        with ParquetFile(path) as file:
            return file.schema_arrow

    return _columnar(path, "Parquet", schema, batches)


def _open_arrow(path: Path) -> Table:
    pyarrow = import_pyarrow()

    def reader(source: Any) -> Any:
        """A reader of Arrow's file format (also called Feather), or of its stream format, as `datasets` saves it."""
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        return pyarrow.ipc.open_file(source) if is_file else pyarrow.ipc.open_stream(source)

    def batches(columns: list[str]) -> Iterator[Any]:
        with pyarrow.memory_map(str(path)) as source:
            opened = reader(source)
            stored = map(opened.get_batch, range(opened.num_record_batches)) if hasattr(opened, "get_batch") else opened
            for batch in stored:
                selected = batch.select(columns)
                selected.validate(full=True)  # otherwise a wrong offset in a damaged file ends this process
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield selected.slice(start, BATCH_ROWS)

    def schema() -> Any:
        with pyarrow.memory_map(str(path)) as source:
            return reader(source).schema

    return _columnar(path, "Arrow", schema, batches)


def _columnar(path: Path, kind: str, schema: Callable[[], Any], batches: Callable[[list[str]], Iterator[Any]]) -> Table:
    """A table of a file with typed columns. Raises UsageError for a damaged file, and for one without rows."""

    def breaks_off(row: int, error: Exception) -> Iterator[Row]:
        yield row, Broken(f"the file is damaged and cannot be read from about here on: {error}")

    if path.stat().st_size == 0:
        raise UsageError(f"{path} is empty: it holds no questions")
    try:
        table = arrow_table(str(path), schema(), batches, breaks_off)
    except (OSError, ValueError, import_pyarrow().ArrowException) as error:  # a column's name may be no UTF-8
        raise UsageError(f"{path} is not a readable {kind} file: {reason_of(error)}") from None
    if next(table.select(()), None) is None:
        raise UsageError(f"{path} holds no questions: it has columns, but no rows")
    return table


_READERS: dict[str, Callable[[Path], Table]] = {
    ".jsonl": _open_json,
    ".ndjson": _open_json,
    ".json": _open_json,
    ".csv": _open_csv,
    ".tsv": _open_csv,
    ".parquet": _open_parquet,
    ".arrow": _open_arrow,
    ".feather": _open_arrow,
}
