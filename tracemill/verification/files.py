"""Traces from a file, verified in a stream: lines in, their rows with verdicts out, in order, in bounded memory.

Reading, checking and whatever the caller does with the results overlap: some batches are in flight, bounded by rows and
by bytes. What is wrong with one line is data about that line and costs its neighbours nothing.
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

from tracemill.errors import UsageError
from tracemill.text import final_gold
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.checks import Item
from tracemill.verification.verifier import Verifier

STANDARD = "-"  # the name of standard input and output

LONGEST = 64 * 2**20  # bytes of a line: a trace of 10 MB with every character escaped still fits
BATCH_BYTES = 2 * 2**20
IN_FLIGHT = 16  # batches: a trace that hangs holds up the output for its 3 seconds, and these are done meanwhile
IN_FLIGHT_BYTES = 32 * 2**20

_CHUNK = 2**20
_BOM = b"\xef\xbb\xbf"
_KINDS = get_args(Kind)


class Line(NamedTuple):
    """One line of the input."""

    #: from 1
    number: int
    #: bytes
    size: int
    #: bytes of the file that have been read after it
    position: int
    #: the object; None: it is none, so there is nothing to write back
    row: dict[str, Any] | None
    #: the trace in it; None: it cannot be verified
    item: Item | None
    #: why it cannot
    problem: str | None


class Done(NamedTuple):
    """A line, and the row that is written for it: none, if it holds no object."""

    line: Line
    row: dict[str, Any] | None


class Input:
    """A JSONL file, compressed if its name ends in .gz, or standard input."""

    def __init__(self, name: str) -> None:
        """Raises UsageError if it cannot be read."""
        try:
            self.file = sys.stdin.buffer if name == STANDARD else open(name, "rb", buffering=_CHUNK)  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"cannot read {name}: {error.strerror}") from None
        self._packed = name.endswith(".gz")
        #: bytes; None: not known before the end
        self.size = None if name == STANDARD else os.stat(name).st_size or None

    def lines(self) -> Iterator[Line]:
        """Each line but the blank ones. A file that breaks off ends with a line that says so."""
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=self.file)) if self._packed else self.file
        number = position = 0
        try:
            while data := stream.readline(LONGEST + 1):
                number += 1
                size = read = len(data)
                while size > LONGEST and data and not data.endswith(b"\n"):
                    data = stream.readline(_CHUNK)
                    read += len(data)
                position = self.file.tell() if self._packed else position + read
                if size > LONGEST:
                    yield Line(number, 0, position, None, None, f"longer than {LONGEST // 2**20} MB")
                elif data := (data.removeprefix(_BOM) if number == 1 else data).strip():
                    yield Line(number, size, position, *_understood(data))
        except (OSError, EOFError, zlib.error) as error:
            yield Line(number + 1, 0, position, None, None, f"the file cannot be read from here on: {error}")


def _understood(data: bytes) -> tuple[dict[str, Any] | None, Item | None, str | None]:
    """The object in a line, the trace in the object, and what is wrong with either."""
    try:
        row = decode(data.decode())
    except UnicodeDecodeError as error:
        return None, None, f"not UTF-8: byte {data[error.start]:#04x} at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        return None, None, f"not JSON: {error.msg} (character {error.pos + 1})"
    except (ValueError, RecursionError):
        return None, None, "not readable: it has a number of thousands of digits, or thousands of brackets"
    if not isinstance(row, dict):
        return None, None, "not a JSON object"
    try:
        return row, _item(row), None
    except ValueError as error:
        return row, None, str(error)


def _item(row: dict[str, Any]) -> Item:
    """The trace of an object. Raises ValueError that says what is wrong with it."""
    text, gold, question, kind, steps = map(row.get, ("trace", "gold", "question", "kind", "steps"))
    if not isinstance(text, str):
        raise ValueError('"trace" is not a text' if "trace" in row else 'no "trace"')
    if question is not None and not isinstance(question, str):
        raise ValueError('"question" is not a text')
    if kind is not None and kind not in _KINDS:
        raise ValueError(f'"kind" is none of {", ".join(_KINDS)}')
    if steps is not None and not (isinstance(steps, list) and all(isinstance(step, str) for step in steps)):
        raise ValueError('"steps" is not a list of texts')
    if isinstance(gold, (bool, int, float)) or (kind == "code" and isinstance(gold, list)):
        gold = json.dumps(gold)
    elif gold is not None and not isinstance(gold, str):
        raise ValueError('"gold" is neither a text nor a number')
    if gold and kind != "code" and "\n" not in gold.rpartition("####")[2].strip():
        gold = final_gold(gold)  # not of tests: what follows a comment of theirs has more lines
    return Item(text, gold, question, kind, tuple(steps or ()))


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


#: Reads one JSON text. NaN and infinities are no JSON, however many programs write them: null takes their place.
decode = json.JSONDecoder(parse_float=_finite, parse_constant=lambda _: None).decode


def verified(lines: Iterator[Line], verifier: Verifier) -> Iterator[list[Done]]:
    """The lines with their rows, in order, while the next ones are read and verified.

    Raises TracemillError when nothing can be verified any more. What is in flight when the caller stops ends with
    `verifier.close()`.
    """
    in_flight: deque[tuple[int, Future[list[Done]]]] = deque()
    threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="verify")
    try:
        for batch in _batches(lines, verifier.batch):
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
    verdicts = iter(verifier.verdicts([line.item for line in batch if line.item is not None]))
    done = []
    for line in batch:
        row = line.row
        if row is not None:
            verdict = next(verdicts) if line.item is not None else verifier.none(line.problem or "")
            row = row | verdict | own_values(row)
        done.append(Done(line, row))
    return done


def own_values(row: dict[str, Any]) -> dict[str, Any]:
    """What a row says itself of fields that a verdict has too, and that is not to be written over."""
    return {name: row[name] for name in ("steps", "kind") if row.get(name)}
