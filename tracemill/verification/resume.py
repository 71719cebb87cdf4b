"""Outputs of a run over a file. An output file holds the whole state of its run, so a killed run can be resumed.

To resume, the output is read beside the input: an input row is done if the output has the same row with a verdict. No
second file exists that could disagree with the output. An output of another input is detected before any change.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from itertools import chain, takewhile
from pathlib import Path
from typing import IO, Any

from tracemill.errors import TracemillError, UsageError
from tracemill.text import printable_json
from tracemill.verification.files import MAX_LINE, Done, Input, Line, decode
from tracemill.verification.rows import kept_values, output_names


class Output:
    """A pipe or a device: a stream that no later run can read back."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def resume(self, lines: Iterator[Line], take: Callable[[Done], None]) -> Iterator[Line]:
        """Pass the lines that an earlier run has done to `take`, and return the remaining lines."""
        return lines

    def write(self, batch: list[Done]) -> None:
        """Write the rows of a batch. Raises OSError."""
        rows = memoryview(b"".join(_encoded(done.row) + b"\n" for done in batch if done.row is not None))
        while rows:
            rows = rows[self._file.write(rows) :]
        self._file.flush()


class OutputFile(Output):
    """A JSONL file. The next run continues the file of a run that ended early. One run at a time writes it."""

    def __init__(self, name: str, source: Input, judge: str | None) -> None:
        """Open or create the file without any change. Raises UsageError, or TracemillError if it is not writable."""
        if name.endswith(".gz"):
            raise UsageError(f"{name}: a compressed output cannot be resumed: name a .jsonl, or pipe into gzip")
        try:
            super().__init__(open(name, "ab", buffering=0))  # noqa: SIM115
        except (FileNotFoundError, IsADirectoryError) as error:
            raise UsageError(f"cannot write {name}: {error.strerror}") from None
        except OSError as error:
            raise TracemillError(f"cannot write {name}: {error.strerror}") from None
        self._name = name
        self._judge = judge
        if os.path.sameopenfile(self._file.fileno(), source.file.fileno()):
            raise UsageError(f"{name} is the input itself: name another file")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{name} is being written by another run: wait for it, or name another file") from None

    def resume(self, lines: Iterator[Line], take: Callable[[Done], None]) -> Iterator[Line]:
        """As `Output.resume`. An incomplete last row is cut off.

        Raises UsageError, before any change, if the file holds anything else than the first input rows with verdicts.
        """
        if not Path(self._name).is_file():
            return lines
        end = 0
        with open(self._name, "rb") as stream:
            while data := stream.readline(4 * MAX_LINE):
                for line in lines:
                    if line.row is not None:
                        break
                    take(Done(line, None))
                else:
                    raise self._mismatch("has more rows than the input")
                if not data.endswith(b"\n"):
                    begin = self._begin(line.row)
                    if begin[: len(data)] != data[: len(begin)]:
                        raise self._mismatch(f"ends with a row that line {line.number} of the input did not give")
                    lines = chain([line], lines)
                    break
                row = self._output_row(line.row, data)
                if row is None:
                    raise self._mismatch(f"holds a row that line {line.number} of the input did not give")
                end += len(data)
                take(Done(line, row))
        os.ftruncate(self._file.fileno(), end)
        return lines

    def write(self, batch: list[Done]) -> None:
        """Write the rows of a batch. Raises TracemillError."""
        try:
            super().write(batch)
        except OSError as error:
            raise TracemillError(f"cannot write {self._name}: {error.strerror}. What is in it is kept.") from None

    def _output_row(self, given: dict[str, Any], data: bytes) -> dict[str, Any] | None:
        """The row in `data` if it is the row `given` with a verdict of this judge, else None."""
        try:
            row = decode(data.decode())
        except (ValueError, RecursionError):
            return None
        ours = self._names(given)
        if not isinstance(row, dict) or row.keys() != given.keys() | ours:
            return None
        expected = {name: value for name, value in given.items() if name not in ours} | kept_values(given)
        if self._judge:
            expected[output_names(given, self._judge)["judge"]] = self._judge
        return row if all(row[name] == value for name, value in expected.items()) else None

    def _begin(self, row: dict[str, Any]) -> bytes:
        """The output row up to the first field of ours."""
        ours = self._names(row)
        return _encoded(dict(takewhile(lambda field: field[0] not in ours, row.items())))[:-1]

    def _names(self, row: dict[str, Any]) -> set[str]:
        """The names of our fields in the output row."""
        return set(output_names(row, self._judge).values())

    def _mismatch(self, problem: str) -> UsageError:
        return UsageError(
            f"{self._name} {problem}, so it is no unfinished run over this input with these options. "
            "Delete it to start again, or name another file."
        )


_encode = json.JSONEncoder(ensure_ascii=False).encode


def _encoded(row: dict[str, Any]) -> bytes:
    """JSON in UTF-8. A lone surrogate has no UTF-8 form and becomes a JSON escape, like controls of a terminal."""
    return printable_json(_encode(row)).encode()
