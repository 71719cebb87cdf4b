"""Values of columns as text, as gold answers and as metadata."""

import ast
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from producer.sources.programs import LongTests, program_tests
from producer.sources.rows import Scalar
from tracemill.text import final_gold

META_CHARS = 2000
#: The longest text that is read as a list or an object.
MAX_STRUCTURE = 10_000_000
#: Words that data sets write instead of a gold answer (NuminaMath).
WITHOUT_ANSWER = frozenset(("proof", "notfound"))
#: Texts side by side without a comma, as NumPy writes an array. Python would join them.
_SIDE_BY_SIDE = re.compile(r"""['"]\s+['"]""")


class BadValueError(Exception):
    """A value that makes its row useless. The message becomes a Problem."""


def gold_text(column: str, value: object, starter: str = "") -> str | None:
    """The gold answer as text; None if there is none, or if several different answers are right.

    A list of one answer is that answer, and a list of several texts is all of them. Tests of a program become the text
    that `tracemill.verification.code` reads; `starter` is the code that the program completes. Raises BadValueError.
    """
    parsed = structure(value) if isinstance(value, str) and value.lstrip()[:2] in ("['", '["', "[{", '{"') else value
    try:
        if (tests := program_tests(parsed, starter)) is not None:
            return checked_text(column, tests)
    except LongTests as error:
        raise BadValueError(f"{column!r} {error}") from None
    match parsed:
        case None:
            return None
        case {"text": list() as answers} | {"aliases": list() as answers}:
            return only_text(column, answers)
        case [answer]:
            return gold_text(column, answer)
        case []:
            return None
        case [*texts] if all(isinstance(text, str) for text in texts):
            return ", ".join(checked_text(column, str(text)).strip() for text in texts)
        case list() if all(isinstance(part, int | float | Decimal | list) for part in parsed):
            return json.dumps(parsed, default=str)
        case Mapping() | list():
            raise BadValueError(f"{column!r} is {kind_of(value)}, not text or a number")
    return _answer(column, parsed)


def only_text(column: str, answers: list[Any]) -> str | None:
    """The gold answer if a list of alternatives holds only one, apart from case and spaces; otherwise None."""
    golds = {gold.casefold(): gold for answer in reversed(answers) if (gold := gold_text(column, answer))}
    return next(iter(golds.values())) if len(golds) == 1 else None


def _answer(column: str, value: object) -> str | None:
    if isinstance(value, str):
        from tracemill.verification.answers.gold import final_answer  # it takes a tenth of a second

        gold = final_answer(final_gold(checked_text(column, value)))
        return None if not gold or gold in WITHOUT_ANSWER else gold
    if isinstance(value, bool | int | float | Decimal):
        if not isinstance(value, bool) and not math.isfinite(value):
            raise BadValueError(f"{column!r} is {value}, which is not an answer")
        return plain_text(value)
    raise BadValueError(f"{column!r} is {kind_of(value)}, not text or a number")


def plain_text(value: object) -> str:
    """A value as people write it: 51.0 is "51", a list has a line for each part, and null is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal):
        is_whole = math.isfinite(value) and value == int(value) and -1e15 < value < 1e15
        return str(int(value)) if is_whole else f"{value:f}" if isinstance(value, Decimal) else str(value)
    if isinstance(value, list):
        return "\n".join(map(plain_text, value))
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, Mapping) else str(value)


def structure(value: object) -> object:
    """The list or object that a text holds, as JSON or as Python writes it; any other value unchanged."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{") or len(value) > MAX_STRUCTURE:
        return value
    try:
        return json.loads(value)
    except RecursionError:
        return value
    except ValueError:
        pass
    try:
        return value if _SIDE_BY_SIDE.search(value) else ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


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


def kind_of(value: object) -> str:
    """What a value is, for a message."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bytes):
        return "binary data"
    return "a boolean" if isinstance(value, bool) else "a number"
