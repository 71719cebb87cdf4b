"""Traces in JSONL and Parquet files: ours and those of other tools. No stack is needed, and nothing is loaded whole."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tracemill.errors import TracemillError, UsageError
from tracemill.verification.checks import Findings, Item
from tracemill.verification.files import Input
from tracemill.verification.pool import CheckPool
from web.file_index import Entry, FileIndex, check_is_known
from web.file_rows import items_of, passes, question_of, sample_of
from web.filters import Filters
from web.records import (
    MAX_PREVIEW,
    ROWS,
    SAMPLES,
    JobRow,
    QuestionList,
    QuestionPage,
    QuestionRow,
)

#: Seconds that a page searches rows of a file. The next page continues.
SEARCH_SECONDS = 3.0
#: Seconds that a check of one sample may take.
CHECK_SECONDS = 1.0
#: Rows that are skipped rather than read again from their group.
MAX_SKIPPED = 2_000
#: Files of a folder that are listed.
MAX_FILES = 1_000


class FileStore:
    """The store of one file, or of the files of one folder."""

    rounds = None

    def __init__(self, path: Path) -> None:
        """Raises UsageError if there is no file of traces."""
        if path.is_dir():
            paths = sorted(file for file in path.iterdir() if file.suffix in (".jsonl", ".ndjson", ".parquet"))
            if not paths:
                raise UsageError(f"{path} has no .jsonl and no .parquet file")
        else:
            check_is_known(path)
            paths = [path]
        self._paths = {file.name: file for file in paths[:MAX_FILES]}
        self._opened: dict[str, _TraceFile] = {}
        self._lock = threading.Lock()
        self._checker = _Checker()
        if len(paths) == 1:
            self._open(paths[0].name)

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        return list(self._paths)

    def jobs(self) -> Sequence[JobRow]:
        return [row for name in self._paths if (row := self.job(name))]

    def job(self, name: str) -> JobRow | None:
        if (path := self._paths.get(name)) is None:
            return None
        size = path.stat().st_size if path.exists() else 0
        opened = self._opened.get(name)
        rows = f", {opened.index.n_rows:,} rows, {len(opened.index.entries):,} questions" if opened else ""
        return JobRow(name, note=f"{size / 1e6:,.1f} MB{rows}")

    def questions(self, job: JobRow, filters: Filters, after: int) -> QuestionList:
        file = self._open(job.name)
        file.index.wait()
        rows: list[QuestionRow] = []
        last = after
        for number, matches in file.scan(filters, range(after + 1, len(file.index.entries))):
            last = number
            if matches:
                rows.append(file.row(number))
            if len(rows) == ROWS:
                break
        more = last if last + 1 < len(file.index.entries) else None
        note = "" if more is None or len(rows) == ROWS else f"{last + 1:,} questions are searched; more follow."
        return QuestionList(rows, more, " ".join(filter(None, (note, file.index.note))))

    def neighbour(self, job: JobRow, filters: Filters, question: int, *, forwards: bool) -> int | None:
        file = self._open(job.name)
        file.index.wait()
        numbers = range(question + 1, len(file.index.entries)) if forwards else range(question - 1, -1, -1)
        last = question
        for number, matches in file.scan(filters, numbers):
            if matches:
                return number
            last = number
        if numbers and last != numbers[-1]:
            raise TracemillError(f"none of {abs(last - question):,} questions passes the filters; more follow")
        return None

    def question(self, job: JobRow, question: int, start: int) -> QuestionPage | None:
        file = self._open(job.name)
        file.index.wait()
        if not 0 <= question < len(file.index.entries):
            return None
        traces = list(file.traces(question, start, SAMPLES + 1))
        findings = self._checker.check([item for _, item in traces[:SAMPLES]])
        samples = [
            sample_of(start + number, row, item, finding)
            for number, ((row, item), finding) in enumerate(zip(traces[:SAMPLES], findings, strict=True))
        ]
        row = next(file.rows(question), {})
        item = traces[0][1] if traces else None
        return QuestionPage(
            id=question,
            text=question_of(row) or "",
            gold=item.gold if item else None,
            samples=samples,
            facts={name: row[name] for name in ("id", "dataset", "domain") if isinstance(row.get(name), str | int)},
            start=start,
            has_more=len(traces) > SAMPLES,
        )

    def whole_text(self, job: JobRow, question: int, sample: int) -> str | None:
        file = self._open(job.name)
        file.index.wait()
        if not 0 <= question < len(file.index.entries):
            return None
        return next((item.text for _, item in file.traces(question, sample, 1)), None)

    def close(self) -> None:
        self._checker.close()
        for file in self._opened.values():
            file.close()

    def _open(self, name: str) -> "_TraceFile":
        """The file of this name. Raises UsageError if there is none, or if it cannot be read."""
        if name not in self._paths:
            raise UsageError(f"there is no file {name} here")
        with self._lock:
            if name not in self._opened:
                self._opened[name] = _TraceFile(self._paths[name])
            return self._opened[name]


class _TraceFile:
    """One file: its index, and its rows by their starts."""

    def __init__(self, path: Path) -> None:
        self.index = FileIndex(path)
        self._input = Input(str(path))
        self._is_columnar = path.suffix == ".parquet"
        self._lock = threading.Lock()
        self._lines = self._input.lines()
        self._next_start = 0

    def close(self) -> None:
        """End the thread of the index, and close the file."""
        self.index.close()
        self._input.file.close()

    def row(self, number: int) -> QuestionRow:
        """A question of a list."""
        entry = self.index.entries[number]
        text = entry.preview or next((question_of(row) or "" for row in self.rows(number)), "")[:MAX_PREVIEW]
        return QuestionRow(number, text, None, len(entry.starts), entry.right, entry.wrong, entry.accepted)

    def scan(self, filters: Filters, numbers: Sequence[int]) -> Iterator[tuple[int, bool]]:
        """Each question, and whether it passes the filters. It ends early after `SEARCH_SECONDS`."""
        end = time.monotonic() + SEARCH_SECONDS
        for number in numbers:
            yield number, self._passes(self.index.entries[number], number, filters)
            if time.monotonic() > end:
                return

    def _passes(self, entry: Entry, number: int, filters: Filters) -> bool:
        if not filters.is_active:
            return True
        if (filters.verdict == "right" and not entry.right) or (filters.verdict == "wrong" and not entry.wrong):
            return False
        return any(passes(row, filters) for row in self.rows(number))

    def traces(self, number: int, start: int, limit: int) -> Iterator[tuple[dict[str, Any], Item]]:
        """At most `limit` traces of a question from number `start` on, each with its row."""
        position = 0
        for row in self.rows(number):
            for item in items_of(row):
                if position >= start + limit:
                    return
                if position >= start:
                    yield row, item
                position += 1

    def rows(self, number: int) -> Iterator[dict[str, Any]]:
        """The rows of a question, read again from the file."""
        for start in list(self.index.entries[number].starts):
            row = self._row(start)
            if row is not None:
                yield row

    def _row(self, start: int) -> dict[str, Any] | None:
        with self._lock:
            if not self._is_columnar or not 0 <= start - self._next_start < MAX_SKIPPED:
                self._lines = self._input.lines_after(start)
                self._next_start = start
            row = None
            for line in self._lines:
                self._next_start, row = line.position, line.row
                if not self._is_columnar or line.position > start:
                    break
            return row


class _Checker:
    """Checks the samples of a page in a child process, if the checks are installed. Programs are not run."""

    def __init__(self) -> None:
        self._pool = CheckPool(1, seconds=CHECK_SECONDS) if find_spec("pebble") and find_spec("math_verify") else None

    def check(self, items: Sequence[Item]) -> list[Findings | None]:
        """The findings of each trace; None if it is not checked."""
        if self._pool is not None:
            with suppress(TracemillError):
                return list(self._pool.check_all([item._replace(scorer=None) for item in items]))
        return [None] * len(items)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
