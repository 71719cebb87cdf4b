"""An index of a file of traces: its questions, and where their rows start. The page is used while it is made."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tracemill.errors import UsageError, reason_of
from tracemill.verification.files import Input
from tracemill.verification.foreign_rows import QUESTION_COLUMNS
from web.file_rows import flag, question_of
from web.records import MAX_PREVIEW

#: Rows of a file that are read. It bounds the memory of the index to about 1 GB.
MAX_ROWS = 5_000_000
#: Rows of a Parquet file that are indexed at a time.
BATCH_ROWS = 10_000
#: Seconds that the first page waits for the index.
FIRST_WAIT = 1.0


class Row(NamedTuple):
    """What the index needs of one row."""

    #: `Input.lines_after` of this reads the row first.
    start: int
    question: str | None
    correct: bool | None
    accepted: bool | None


class Entry:
    """A question: the start of its text, the starts of its rows, and the verdicts that the rows bring."""

    __slots__ = ("accepted", "preview", "right", "starts", "wrong")

    def __init__(self, preview: str) -> None:
        self.preview = preview
        self.starts: list[int] = []
        self.right = self.wrong = self.accepted = 0


class FileIndex:
    """The questions of one file, in the order of their first rows. A thread adds to it until the file ends."""

    def __init__(self, path: Path) -> None:
        """Start to read. Raises UsageError if the file cannot be read at all."""
        read = _parquet_rows if path.suffix == ".parquet" else _text_rows
        rows = read(path, self._skip)
        self.entries: list[Entry] = []
        #: Rows read, and lines without a JSON object.
        self.n_rows = self.n_skipped = 0
        self._problem = ""
        self._stopped = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(rows,), name="page-index", daemon=True)
        self._thread.start()

    def wait(self) -> bool:
        """Wait a moment for the end of the file. Returns whether it is reached."""
        return self._done.wait(FIRST_WAIT)

    @property
    def note(self) -> str:
        """A sentence about rows that are missing; empty if there are none."""
        if not self._done.is_set():
            return f"The file is still being read: {self.n_rows:,} rows so far."
        if self.n_rows == MAX_ROWS:
            return f"Only the first {MAX_ROWS:,} rows are shown."
        if self._problem:
            return self._problem
        return f"{self.n_skipped:,} lines without a JSON object are left out." if self.n_skipped else ""

    def close(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()

    def _skip(self) -> None:
        self.n_skipped += 1

    def _fill(self, rows: Iterator[Row]) -> None:
        numbers: dict[int, int] = {}
        try:
            for row in rows:
                if self._stopped.is_set() or self.n_rows == MAX_ROWS:
                    return
                number = len(self.entries)
                if row.question:
                    number = numbers.setdefault(hash(row.question), number)
                if number == len(self.entries):
                    self.entries.append(Entry((row.question or "")[:MAX_PREVIEW]))
                entry = self.entries[number]
                entry.starts.append(row.start)
                entry.right += row.correct is True
                entry.wrong += row.correct is False
                entry.accepted += row.accepted is True
                self.n_rows += 1
        except (OSError, ValueError) as error:  # errors of Arrow
            self._problem = f"The file cannot be read after row {self.n_rows:,}: {reason_of(error)}"
        finally:
            self._done.set()


def _text_rows(path: Path, skip: Callable[[], None]) -> Iterator[Row]:
    lines = Input(str(path)).lines()

    def rows() -> Iterator[Row]:
        start = 0
        for line in lines:
            if line.row is None:
                skip()
            else:
                yield Row(start, question_of(line.row), flag(line.row, "correct"), flag(line.row, "accepted"))
            start = line.position

    return rows()


def _parquet_rows(path: Path, skip: Callable[[], None]) -> Iterator[Row]:
    """Read only the columns that the index needs. Questions in conversations are not read: each row is a question."""
    Input(str(path))  # raises UsageError
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(path)
    schema = file.schema_arrow
    question = next((name for name in QUESTION_COLUMNS if _has(schema, name, "string")), None)
    flags = [
        next((name for name in (f"tracemill_{flag}", flag) if _has(schema, name, "bool")), None)
        for flag in ("correct", "accepted")
    ]
    columns = [name for name in (question, *flags) if name]

    def rows() -> Iterator[Row]:
        start = 0
        if not columns:
            yield from (Row(start, None, None, None) for start in range(file.metadata.num_rows))
            return
        for batch in file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
            empty = [None] * batch.num_rows
            values = [batch.column(name).to_pylist() if name else empty for name in (question, *flags)]
            for each in zip(*values, strict=True):
                yield Row(start, *each)
                start += 1

    return rows()


def _has(schema: Any, name: str, kind: str) -> bool:
    return name in schema.names and str(schema.field(name).type).removeprefix("large_") == kind


def check_is_known(path: Path) -> None:
    """Raise UsageError for a file that the page cannot read."""
    if path.suffix not in (".jsonl", ".ndjson", ".parquet"):
        hint = ": unpack it first (gunzip -k)" if path.suffix == ".gz" else ""
        raise UsageError(f"{path}: the page reads .jsonl and .parquet files{hint}")
