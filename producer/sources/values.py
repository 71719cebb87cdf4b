"""Values of columns as text and as metadata."""

import math
from decimal import Decimal

from producer.sources.rows import Scalar
from tracemill.verification.gold_values import kind_of, plain_text

META_CHARS = 2000


class BadValueError(Exception):
    """A value that makes its row useless. The message becomes a Problem."""


def label_text(column: str, value: object) -> str | None:
    """A domain or a kind. Raises BadValueError if it is not text."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return checked_text(column, value)
    raise BadValueError(f"{column!r} is {kind_of(value)}, not text")


def scalar(column: str, value: object) -> Scalar | None:
    """The value for a JSON column of Postgres, or None to leave it out."""
    if isinstance(value, str):
        return checked_text(column, value)[:META_CHARS]
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON has neither NaN nor infinity
    if isinstance(value, int):  # also bool; a number above 64 bits is an identifier and becomes text
        return value if -(2**63) <= value < 2**63 else str(value)[:META_CHARS]
    return plain_text(value) if isinstance(value, Decimal) and value.is_finite() else None


def checked_text(column: str, text: str) -> str:
    """The text, unless Postgres cannot store it: NUL or a lone surrogate (PostgreSQL manual, 8.3 and 23.3)."""
    if "\0" in text:
        raise BadValueError(f"{column!r} holds a NUL character, which Postgres cannot store")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            if 0xDC80 <= code <= 0xDCFF:  # the reader's mark for a byte that it could not decode
                raise BadValueError(f"{column!r} is not UTF-8: byte 0x{code - 0xDC00:02x}") from None
            raise BadValueError(
                f"{column!r} holds half a surrogate pair (\\u{code:04x}), which Postgres cannot store"
            ) from None
    return text
