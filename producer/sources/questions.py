"""Convert the rows of a source's tables to questions."""

import math
from collections.abc import Iterator, Mapping

from producer.sources.choices import choices, gold_letter, with_choices
from producer.sources.rows import Problem, Question, Scalar, Table
from tracemill.text import final_gold

META_CHARS = 2000


class _BadRowError(Exception):
    """A row without a usable question. The message becomes a Problem."""


def questions(table: Table, picks: Mapping[str, str]) -> Iterator[Question | Problem]:
    """The table's rows as questions, in order; each bad row is a Problem."""
    for number, row in table.rows():
        try:
            if isinstance(row, str):
                raise _BadRowError(row)
            yield _question(number, row, picks)
        except _BadRowError as bad:
            yield Problem(f"{table.name}:{number}", str(bad))


def _question(number: int, row: Mapping[str, object], picks: Mapping[str, str]) -> Question:
    column = picks.get("question", "question")
    text = row.get(column)
    if not isinstance(text, str):
        raise _BadRowError(
            f"{column!r} is {_kind_of(text)}, not text" if column in row else f"there is no {column!r} in this row"
        )
    text = _checked_text(column, text).strip()
    if not text:
        raise _BadRowError(f"{column!r} is empty: a question needs text")
    used = picks.values()
    lettered = _choices(picks["choices"], row.get(picks["choices"])) if "choices" in picks else {}
    gold = gold_letter(row.get(picks["gold"]), lettered) if "gold" in picks else None
    kind = _label(picks["kind"], row.get(picks["kind"])) if "kind" in picks else None
    return Question(
        text=with_choices(text, lettered) if lettered else text,
        gold=_gold(picks["gold"], gold) if "gold" in picks else None,
        domain=_label(picks["domain"], row.get(picks["domain"])) if "domain" in picks else None,
        kind=kind or ("choice" if lettered else None),
        meta={
            _checked_text("a column's name", name): kept
            for name, value in row.items()
            if name not in used and (kept := _scalar(name, value)) is not None
        },
        line=number,
    )


def _gold(column: str, value: object) -> str | None:
    """The gold answer as text. Numbers and booleans are written as people write them: 51.0 becomes "51"."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise _BadRowError(f"{column!r} is {value}, which is not an answer")
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else str(value)
    if isinstance(value, str):
        return final_gold(_checked_text(column, value)) or None
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        return _checked_text(column, "\n".join(value))  # the assertions that a program must pass
    raise _BadRowError(f"{column!r} is {_kind_of(value)}, not text or a number")


def _choices(column: str, value: object) -> dict[str, str]:
    try:
        return {_checked_text(column, label): _checked_text(column, text) for label, text in choices(value).items()}
    except ValueError as error:
        raise _BadRowError(f"{column!r} {error}") from None


def _label(column: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _checked_text(column, value)
    raise _BadRowError(f"{column!r} is {_kind_of(value)}, not text")


def _scalar(column: str, value: object) -> Scalar | None:
    """The value for a JSON column of Postgres, or None to leave it out."""
    if isinstance(value, str):
        return _checked_text(column, value)[:META_CHARS]
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON has neither NaN nor infinity
    if isinstance(value, int):  # also bool; a number above 64 bits is an identifier and becomes text
        return value if -(2**63) <= value < 2**63 else str(value)[:META_CHARS]
    return None


def _checked_text(column: str, text: str) -> str:
    """The text, unless Postgres cannot store it: NUL or a lone surrogate (PostgreSQL manual, 8.3 and 23.3)."""
    if "\0" in text:
        raise _BadRowError(f"{column!r} holds a NUL character, which Postgres cannot store")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            if 0xDC80 <= code <= 0xDCFF:  # the reader's mark for a byte that it could not decode
                raise _BadRowError(f"{column!r} is not UTF-8: byte 0x{code - 0xDC00:02x}") from None
            raise _BadRowError(
                f"{column!r} holds half a surrogate pair (\\u{code:04x}), which Postgres cannot store"
            ) from None
    return text


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "a boolean" if isinstance(value, bool) else "a number" if isinstance(value, int | float) else "not text"
