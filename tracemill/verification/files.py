"""Verify the traces of a file as a stream: lines in, rows with verdicts out, in order and in bounded memory.

Some batches are in flight, bounded by rows and by bytes, so that reading, checking and the caller's work overlap. A
broken line is data about that line; the other lines are verified all the same.
"""

import gzip
import json
import math
import os
import sys
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, NamedTuple, cast, get_args

from tracemill.errors import EngineAway, TracemillError, UsageError, reason_of
from tracemill.text import final_gold
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.checks import Findings, Item
from tracemill.verification.foreign_rows import foreign_fields
from tracemill.verification.gold_values import gold_text
from tracemill.verification.pipeline import Verifier
from tracemill.verification.rows import output_names, output_row
from tracemill.verification.scorers import scoring_of
from tracemill.verification.verdict import Verdict

STANDARD = "-"  # the name of standard input and output

MAX_LINE = 64 * 2**20  # bytes: room for a trace of 10 MB with every character escaped
BATCH_BYTES = 2 * 2**20
IN_FLIGHT = 16  # batches: the output waits up to 3 s for a trace that hangs, and these are verified meanwhile
IN_FLIGHT_BYTES = 32 * 2**20

_CHUNK = 2**20
_PACKED_ROWS = 50  # rows of a Parquet file that are unpacked at a time
_BOM = b"\xef\xbb\xbf"
_KINDS = get_args(Kind)


class Line(NamedTuple):
    """One line of the input."""

    #: Line number, from 1.
    number: int
    #: Bytes.
    size: int
    #: Bytes (rows of a Parquet file) that are read once this line is read.
    position: int
    #: The JSON object; None: the line holds none, so nothing is written back.
    row: dict[str, Any] | None
    #: The trace in the object; None: it cannot be verified.
    item: Item | None
    #: Why it cannot be verified.
    problem: str | None


class Done(NamedTuple):
    """A line and its output row; None if the line holds no object."""

    line: Line
    row: dict[str, Any] | None

    @property
    def verdict(self) -> dict[str, Any]:
        """The fields of the verdict by our names; empty if the line holds no object."""
        if self.row is None or self.line.row is None:
            return {}
        return {field: self.row[name] for field, name in output_names(self.line.row, None).items()}


class Input:
    """A JSONL file, compressed if its name ends in .gz, a Parquet file, or standard input."""

    def __init__(self, name: str) -> None:
        """Open it. Raises UsageError if it cannot be read."""
        try:
            self.file = sys.stdin.buffer if name == STANDARD else open(name, "rb", buffering=_CHUNK)  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"cannot read {name}: {error.strerror}") from None
        self._is_compressed = name.endswith(".gz")
        self._table = _open_parquet(name, self.file) if name.endswith(".parquet") else None
        #: Bytes, or rows of a Parquet file; None: unknown before the end.
        self.size = None if name == STANDARD else os.stat(name).st_size or None
        if self._table is not None:
            self.size = self._table.metadata.num_rows

    def lines(self) -> Iterator[Line]:
        """Every line that is not blank, or every row. The last line of a damaged file reports that."""
        return self._text_lines() if self._table is None else _rows(self._table)

    def lines_after(self, position: int) -> Iterator[Line]:
        """The lines after the one with this `Line.position`, with numbers from 1. Not of a compressed file."""
        if self._table is None:
            self.file.seek(position)
            return self.lines()
        return _rows(self._table, position)

    def _text_lines(self) -> Iterator[Line]:
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=self.file)) if self._is_compressed else self.file
        number = position = 0
        try:
            while data := stream.readline(MAX_LINE + 1):
                number += 1
                size = n_read = len(data)
                while size > MAX_LINE and data and not data.endswith(b"\n"):
                    data = stream.readline(_CHUNK)
                    n_read += len(data)
                position = self.file.tell() if self._is_compressed else position + n_read
                if size > MAX_LINE:
                    yield Line(number, 0, position, None, None, f"longer than {MAX_LINE // 2**20} MB")
                elif data := (data.removeprefix(_BOM) if number == 1 else data).strip():
                    yield Line(number, size, position, *_parse(data))
        except (OSError, EOFError, zlib.error) as error:
            yield Line(number + 1, 0, position, None, None, f"the file cannot be read from here on: {reason_of(error)}")


def _open_parquet(name: str, file: IO[bytes]) -> Any:
    try:
        from pyarrow.parquet import ParquetFile

        return ParquetFile(file)
    except ImportError:
        raise UsageError(f"{name}: Parquet files need `pyarrow`: pip install 'tracemill[sources]'") from None
    except (OSError, ValueError) as error:  # pyarrow.ArrowInvalid is a ValueError
        raise UsageError(f"{name} is not a readable Parquet file: {reason_of(error)}") from None


def _rows(table: Any, after: int = 0) -> Iterator[Line]:
    """The rows of a Parquet file after one, as JSON would hold them. Their numbers are also their positions."""
    group = number = 0
    while group < table.num_row_groups and number + table.metadata.row_group(group).num_rows <= after:
        number += table.metadata.row_group(group).num_rows
        group += 1
    try:
        for batch in table.iter_batches(_PACKED_ROWS, range(group, table.num_row_groups), use_threads=False):
            skipped = min(batch.num_rows, max(0, after - number))
            number += skipped
            for row in batch.slice(skipped).to_pylist():
                number += 1
                data = json.dumps(row, ensure_ascii=False, default=str).encode()
                yield Line(number, len(data), number, *_parse(data))
    except (OSError, ValueError) as error:
        yield Line(number + 1, 0, number, None, None, f"the file cannot be read from here on: {reason_of(error)}")


def _parse(data: bytes) -> tuple[dict[str, Any] | None, Item | None, str | None]:
    """The object in a line, the trace in the object, and the problem with either."""
    try:
        row = decode(data.decode())
    except UnicodeDecodeError as error:
        return None, None, f"not UTF-8: byte {data[error.start]:#04x} at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        return None, None, f"not JSON: {error.msg} (character {error.pos + 1})"
    except (ValueError, RecursionError):
        return None, None, "not readable: it has a number with thousands of digits, or thousands of brackets"
    return (row, *read_row(row)) if isinstance(row, dict) else (None, None, "not a JSON object")


def read_row(row: dict[str, Any]) -> tuple[Item | None, str | None]:
    """The trace in an object, or why it has none that can be verified."""
    try:
        return _item(row), None
    except ValueError as error:
        return None, str(error)


def _item(row: dict[str, Any]) -> Item:
    """The trace in an object. Raises ValueError with the problem."""
    if "trace" not in row:
        row = row | foreign_fields(row)
    text, gold, question, kind, steps = map(row.get, ("trace", "gold", "question", "kind", "steps"))
    if not isinstance(text, str):
        raise ValueError('"trace" is not a text')
    if question is not None and not isinstance(question, str):
        raise ValueError('"question" is not a text')
    if kind is not None and kind not in _KINDS:
        raise ValueError(f'"kind" is none of {", ".join(_KINDS)}')
    if steps is not None and not (isinstance(steps, list) and all(isinstance(step, str) for step in steps)):
        raise ValueError('"steps" is not a list of texts')
    if isinstance(gold, (bool, int, float)) or (kind == "code" and isinstance(gold, list)):
        gold = json.dumps(gold)
    elif isinstance(gold, list):
        try:
            gold = gold_text(gold)
        except ValueError as error:
            raise ValueError(f'"gold" {error}') from None
    elif gold is not None and not isinstance(gold, str):
        raise ValueError('"gold" is neither a text nor a number')
    if gold and kind != "code" and "\n" not in gold.rpartition("####")[2].strip():
        gold = final_gold(gold)  # text of several lines after `####` is a program, not an answer
    scorer = scoring_of(row.get("scorer"), question=question, answer=gold, metadata=lambda: _metadata(row))
    return Item(text, gold, question, kind, tuple(steps or ()), scorer)


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("trace", "question", "gold", "scorer")}


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


#: Parse one JSON text. Many programs write NaN and infinities, which JSON does not know: they become null.
decode = json.JSONDecoder(parse_float=_finite, parse_constant=lambda _: None).decode


def verified(lines: Iterator[Line], verifier: Verifier) -> Iterator[list[Done]]:
    """The lines with their rows, in order, while the next ones are read and verified.

    Raises TracemillError when nothing can be verified any more. If the caller stops early, `verifier.close()` ends the
    batches in flight.
    """
    in_flight: deque[tuple[int, Future[list[Done]]]] = deque()
    threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="verify")
    try:
        for batch in _batches(lines, verifier.batch_size):
            in_flight.append((sum(line.size for line in batch), threads.submit(_done, batch, verifier)))
            while len(in_flight) == IN_FLIGHT or sum(size for size, _ in in_flight) > IN_FLIGHT_BYTES:
                yield in_flight.popleft()[1].result()
        while in_flight:
            yield in_flight.popleft()[1].result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _batches(lines: Iterator[Line], rows: int) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += line.size
        if len(batch) == rows or size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _done(batch: list[Line], verifier: Verifier) -> list[Done]:
    verdicts = iter(verifier.verify([line.item for line in batch if line.item is not None]))
    done = []
    for line in batch:
        verdict = _reached(next(verdicts)) if line.item is not None else None
        row = None if line.row is None else row_with_verdict(line.row, verdict, line.problem, verifier.judge)
        done.append(Done(line, row))
    return done


def row_with_verdict(
    row: dict[str, Any], verdict: Verdict | None, problem: str | None, judge: str | None
) -> dict[str, Any]:
    """The object with the fields of its verdict; without a verdict they give the problem."""
    if verdict is None:
        problem = problem or ""
        verdict = Verdict(Findings(None, f"not verified: {problem}"), blocked_by=TracemillError(problem))
    return output_row(row, verdict, judge)


def _reached(verdict: Verdict) -> Verdict:
    """The verdict. Raises EngineAway if the judge could not be reached: the run stops and can be resumed."""
    if isinstance(verdict.blocked_by, EngineAway):
        raise verdict.blocked_by
    return verdict
