"""Where the rows of a run over a file go. What is there already is the whole state of the run.

A run that was killed is taken up by reading its output beside its input: as long as each written row is an input row
with a verdict, it is done. So there is no file beside the output that could disagree with it, and an output that
belongs to another input is noticed before it is touched.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from itertools import chain, takewhile
from pathlib import Path
from typing import IO, Any

from tracemill.errors import TracemillError, UsageError
from tracemill.verification.files import LONGEST, Done, Input, Line, decode, own_values
from tracemill.verification.verifier import FIELDS, JUDGE_FIELDS


class Output:
    """A stream that takes rows and keeps none for a later run: a pipe, a device."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def resume(self, lines: Iterator[Line], take: Callable[[Done], None]) -> Iterator[Line]:
        """Give `take` the first of the lines, which an earlier run has done; returns the other ones."""
        return lines

    def write(self, batch: list[Done]) -> None:
        """Write the rows of a batch. Raises OSError."""
        rows = memoryview(b"".join(_encoded(done.row) + b"\n" for done in batch if done.row is not None))
        while rows:
            rows = rows[self._file.write(rows) :]
        self._file.flush()


class OutputFile(Output):
    """A JSONL file: a run that ends early leaves it behind, and the next one continues it. One run at a time."""

    def __init__(self, name: str, source: Input, judge: str | None) -> None:
        """Open or create the file and change nothing in it yet. Raises UsageError, TracemillError if not writable."""
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
        self._fields = frozenset(FIELDS + JUDGE_FIELDS if judge else FIELDS)
        if os.path.sameopenfile(self._file.fileno(), source.file.fileno()):
            raise UsageError(f"{name} is the input itself: name another file")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{name} is being written by another run: wait for it, or name another file") from None

    def resume(self, lines: Iterator[Line], take: Callable[[Done], None]) -> Iterator[Line]:
        """As for any output. A half-written last row is cut off.

        Raises UsageError, with nothing changed, if the file holds anything but the first of these rows with verdicts.
        """
        if not Path(self._name).is_file():
            return lines
        end = 0
        with open(self._name, "rb") as stream:
            while data := stream.readline(4 * LONGEST):
                for line in lines:
                    if line.row is not None:
                        break
                    take(Done(line, None))
                else:
                    raise self._foreign("has more rows than the input")
                if not data.endswith(b"\n"):
                    begin = _encoded(dict(takewhile(lambda own: own[0] not in self._fields, line.row.items())))[:-1]
                    if begin[: len(data)] != data[: len(begin)]:
                        raise self._foreign(f"ends with what line {line.number} of the input did not give")
                    lines = chain([line], lines)
                    break
                row = self._written_for(line.row, data)
                if row is None:
                    raise self._foreign(f"holds what line {line.number} of the input did not give")
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

    def _written_for(self, own: dict[str, Any], data: bytes) -> dict[str, Any] | None:
        """The row in `data`, if it is `own` with a verdict of this judge."""
        try:
            row = decode(data.decode())
        except (ValueError, RecursionError):
            return None
        if not isinstance(row, dict) or row.keys() != own.keys() | self._fields:
            return None
        expected = {name: value for name, value in own.items() if name not in self._fields} | own_values(own)
        if self._judge:
            expected["judge"] = self._judge
        return row if all(row[name] == value for name, value in expected.items()) else None

    def _foreign(self, what: str) -> UsageError:
        return UsageError(
            f"{self._name} {what}, so it is no unfinished run over this input with these options. "
            "Delete it to start afresh, or name another file."
        )


_encode = json.JSONEncoder(ensure_ascii=False).encode


def _encoded(row: dict[str, Any]) -> bytes:
    """JSON in UTF-8. A lone surrogate, which UTF-8 cannot say, becomes its JSON escape."""
    return _encode(row).encode("utf-8", "backslashreplace")
