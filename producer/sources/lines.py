"""JSON and CSV, read line by line with the standard library.

The JSON reader of `datasets` fails for a whole block because of one broken line, and its CSV reader guesses types. So
neither can name the line and still read the others. These readers can, at more than 60,000 rows a second.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from producer.sources.arrow_tables import import_pyarrow
from producer.sources.rows import Broken, Row, require_unique
from tracemill.errors import UsageError, reason_of

if TYPE_CHECKING:
    import _csv

#: The longest line, CSV field or array element. It limits memory if a quote or a bracket is never closed.
LONGEST = 32 * 1024 * 1024
_CHUNK = 1024 * 1024
_UTF8_BOM = b"\xef\xbb\xbf"
_BOMS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_QUOTED = re.compile(r'"[^"]*"')
_BLANKS = re.compile(r"[ \t\r\n]*")
#: Errors of a damaged compressed file. bz2 and zstd raise a plain OSError.
TRUNCATED = (EOFError, zlib.error, lzma.LZMAError, OSError)


def _open_zstd(path: Path) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(import_pyarrow().input_stream(str(path), compression="zstd"), _CHUNK))


_DECOMPRESSORS: Mapping[str, Callable[[Path], object]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstd,
}
#: Endings of compressed files.
COMPRESSIONS = tuple(_DECOMPRESSORS)


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, decompressed if its name ends in one of `COMPRESSIONS`."""
    return cast(BinaryIO, _DECOMPRESSORS.get(path.suffix, partial(open, mode="rb"))(path))


def check_encoding(path: Path) -> None:
    """Raise UsageError for an empty file, and for a file that begins like UTF-16 or UTF-32."""
    try:
        with open_bytes(path) as stream:
            head = stream.read(4)
            empty = not head.strip() and not any(chunk.strip() for chunk in iter(partial(stream.read, _CHUNK), b""))
    except TRUNCATED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UsageError(f"{path} is not a readable {path.suffix} file ({reason_of(error)}): write it again") from None
    if empty:
        raise UsageError(f"{path} is empty: it holds no questions")
    encoding = next((name for bom, name in _BOMS.items() if head.startswith(bom)), None)
    if encoding is None and len(head) > 1 and (head[0] == 0) != (head[1] == 0):
        encoding = "UTF-16"  # without its mark: every second byte of Latin text is zero
    if encoding:
        raise UsageError(f"{path} is {encoding}, not UTF-8: convert it with iconv -f {encoding} -t UTF-8")


def is_array(path: Path) -> bool:
    """Whether a JSON file is one array; not if its first line is an array of its own."""
    try:
        with open_bytes(path) as stream:
            head = stream.read(_CHUNK).removeprefix(_UTF8_BOM).lstrip()
    except TRUNCATED:
        return False  # `read_jsonl` reports where the file is cut off
    line, _, rest = head.partition(b"\n")
    return line.startswith(b"[") and not (rest.strip() and _is_json(line))


def is_document(path: Path) -> bool:
    """Whether a JSON file begins as one object instead of an object on each line. A single line may be either."""
    try:
        with open_bytes(path) as stream:
            filled = (line for line in _lines(stream) if not line.isspace())
            lines = [line.removeprefix(_UTF8_BOM) for line in islice(filled, 2)]
    except TRUNCATED:
        return False
    is_lines = (len(lines) == 2 or ".json" not in path.suffixes) and any(map(_is_json, lines))
    return lines[0].lstrip().startswith(b"{") and not is_lines


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def read_jsonl(path: Path) -> Iterator[Row]:
    """The rows of a JSON Lines file (jsonlines.org), without blank lines."""
    number = 0
    with open_bytes(path) as stream:
        try:
            for number, line in enumerate(_lines(stream), 1):
                if number == 1:
                    line = line.removeprefix(_UTF8_BOM)
                if line.isspace() or not line:
                    continue
                if len(line) >= LONGEST:
                    yield number, Broken(f"this line is longer than {LONGEST // 2**20} MB")
                    continue
                try:
                    row = _decoded(line)
                except UnicodeDecodeError as error:
                    yield number, Broken(f"not UTF-8: byte 0x{line[error.start]:02x} at byte {error.start + 1}")
                except json.JSONDecodeError as error:
                    yield number, Broken(f"not JSON: {error.msg} at column {error.colno}")
                except RepeatedKeyError as error:
                    yield number, Broken(str(error))
                except (ValueError, RecursionError) as error:
                    yield number, _too_much(error)
                else:
                    yield number, row if isinstance(row, dict) else Broken("this line is JSON, but not an object")
        except TRUNCATED as error:
            yield number + 1, Broken(f"the compressed file breaks off here: {reason_of(error)}")


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines of at most LONGEST bytes; the rest of a longer line is skipped."""
    for line in iter(partial(stream.readline, LONGEST), b""):
        yield line
        while len(line) == LONGEST and not line.endswith(b"\n"):
            line = stream.readline(LONGEST)


class RepeatedKeyError(ValueError):
    """A JSON object has one key twice."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object. Raises RepeatedKeyError, because Python would keep the last value without a word."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RepeatedKeyError(f"an object has the key {twice!r} more than once")
    return row


DECODER = json.JSONDecoder(object_pairs_hook=_unique)
_FAST_DECODER = json.JSONDecoder()


def _decoded(line: bytes) -> object:
    """The value in a line. Raises RepeatedKeyError as `DECODER` does, which takes twice the time."""
    row = _FAST_DECODER.decode(line.decode())
    n_keys = line.count(b'":') + line.count(b'" :')
    return row if isinstance(row, dict) and len(row) == n_keys else DECODER.decode(line.decode())


def _too_much(error: Exception) -> Broken:
    return Broken("nested too deeply" if isinstance(error, RecursionError) else "holds a number with too many digits")


def read_array(path: Path) -> Iterator[Row]:
    """The elements of one JSON array, each with the number of its first line.

    An array is one document, so nothing after a syntax error can be read. The error is the last row.
    """
    with open_bytes(path) as stream:
        cursor = _Cursor(io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline=""))
        try:
            separator = cursor.take()  # the opening bracket
            if cursor.peek() == "]":
                return
            while separator != "]":
                cursor.peek()
                line, element = cursor.line, cursor.element()
                yield line, element if isinstance(element, dict) else Broken("this element is not an object")
                separator = cursor.take()
                if separator not in ("]", ","):
                    yield cursor.line, Broken("not JSON: expected ',' or ']'; the rest of the file is not read")
                    return
        except json.JSONDecodeError as error:
            yield cursor.line, Broken(f"not JSON: {error.msg}; the rest of the file is not read")
        except RepeatedKeyError as error:
            yield cursor.line, Broken(f"{error}; the rest of the file is not read")
        except (ValueError, RecursionError) as error:
            yield cursor.line, Broken(f"{_too_much(error)}; the rest of the file is not read")
        except TRUNCATED as error:
            yield cursor.line, Broken(f"the compressed file breaks off here: {reason_of(error)}")


class _Cursor:
    """A position in the text of a JSON array. Only the current element is in memory."""

    def __init__(self, text: TextIO) -> None:
        self.line = 1
        self._text = text
        self._buffer = ""
        self._at = 0
        self._decode = DECODER.raw_decode

    def peek(self) -> str:
        """The next character that is not blank, or "" at the end."""
        while True:
            blanks = _BLANKS.match(self._buffer, self._at)
            self._advance(blanks.end() if blanks else self._at)
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return ""

    def take(self) -> str:
        char = self.peek()
        self._at += 1
        return char

    def element(self) -> object:
        while True:
            try:
                element, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError:
                if len(self._buffer) - self._at >= LONGEST or not self._more():
                    raise
            else:
                if end < len(self._buffer) or not self._more():  # a number at the end of the buffer may continue
                    self._advance(end)
                    return cast(object, element)

    def _advance(self, to: int) -> None:
        self.line += self._buffer.count("\n", self._at, to)
        self._at = to

    def _more(self) -> bool:
        """Double the unread text, so that a long element is decoded only a few times."""
        chunk = self._text.read(max(_CHUNK, len(self._buffer) - self._at))
        self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        return bool(chunk)


def csv_header(path: Path) -> tuple[str, ...]:
    """The column names in the first line of a CSV or TSV file. Raises UsageError for none or a repeated one."""
    with open_bytes(path) as stream:
        try:
            header = tuple(next(_csv_reader(stream, path), []))
        except (csv.Error, *TRUNCATED) as error:
            raise UsageError(f"{path}:1: the header cannot be read: {error}") from None
    names = [name for name in header if name]
    if any("\udc80" <= char <= "\udcff" for name in names for char in name):
        raise UsageError(f"{path}:1: the header is not UTF-8: convert the file, for example from Latin 1, with iconv")
    if not names:
        raise UsageError(f"{path} has no columns: its first line must name them")
    require_unique(str(path), names)
    return header


def read_csv(path: Path) -> Iterator[Row]:
    """The rows of a CSV or TSV file (RFC 4180), each with the number of its first line, without blank lines."""
    header = csv_header(path)
    with open_bytes(path) as stream:
        reader = _csv_reader(stream, path)
        next(reader)
        while True:
            number = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, Broken(f"not CSV: {error}")
                continue
            except TRUNCATED as error:
                yield number, Broken(f"the compressed file breaks off here: {reason_of(error)}")
                return
            if len(fields) == len(header):
                yield number, {name: field for name, field in zip(header, fields, strict=True) if name}
            elif fields:
                yield number, Broken(f"{len(fields)} fields, where the header has {len(header)}")


def _csv_reader(stream: BinaryIO, path: Path) -> "_csv.Reader":
    csv.field_size_limit(LONGEST)
    # A byte that is not UTF-8 becomes a lone surrogate, so that only its own row is refused.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    return csv.reader(_ShortLines(text), delimiter="\t" if ".tsv" in path.suffixes else _delimiter(path), strict=True)


class _ShortLines:
    """The lines of a text. A line longer than LONGEST is skipped and raises csv.Error, and the next one follows."""

    def __init__(self, text: TextIO) -> None:
        self._text = text

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST)
        if not line:
            raise StopIteration
        if len(line) < LONGEST or line.endswith(("\n", "\r")):
            return line
        while line and not line.endswith(("\n", "\r")):
            line = self._text.readline(LONGEST)
        raise csv.Error(f"this line is longer than {LONGEST // 2**20} MB")


def _delimiter(path: Path) -> str:
    """A semicolon or a tab if the header has that and no comma, as spreadsheets of many languages write it."""
    with open_bytes(path) as stream:
        header = _QUOTED.sub("", stream.readline(_CHUNK).decode("utf-8", "replace"))
    return next((sign for sign in ",;\t" if sign in header), ",")
