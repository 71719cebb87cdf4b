"""From somebody's table to our questions.

Every source is one or more *tables*: a name, the columns it has, and numbered rows. A row that cannot be read travels
as the sentence that says why, in its place and with its number, so that nothing stops at it and nobody loses it from
sight.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NewType, TypeAlias

from producer.sources.choices import asked_with, choices, right_one
from tracemill.errors import UsageError
from tracemill.text import final_gold

Broken = NewType("Broken", str)  # why a row could not be read
Row: TypeAlias = tuple[int, Mapping[str, object] | Broken]
Scalar: TypeAlias = str | int | float | bool

DEFAULT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "problem", "prompt", "instruction", "input", "query"),
    "gold": ("gold", "answer", "final_answer", "solution", "target", "output", "label"),
    "domain": ("domain",),
    "kind": ("kind",),
    "choices": ("choices", "options"),
}
META_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Question:
    """One question as it will be stored."""

    text: str
    gold: str | None  #: the final answer alone (see `final_gold`)
    domain: str | None
    kind: str | None
    meta: dict[str, Scalar]  #: the row's other columns, as far as they hold text, numbers or booleans
    line: int | None  #: 1-based line of a text file, row of anything else


@dataclass(frozen=True, slots=True)
class Problem:
    """One row that gave no question."""

    where: str  #: "questions.jsonl:17"
    what: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with a name. `columns` may be empty when no row could be read; `rows()` starts again each time."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of source. `open` takes what follows the scheme; wrong use is raised there, before any row."""

    scheme: str  #: "" for plain paths
    open: Callable[[str], Iterable[Table]]
    examples: tuple[str, ...]


FAMILIES: dict[str, Family] = {}


def family(
    scheme: str, *, examples: tuple[str, ...]
) -> Callable[[Callable[[str], Iterable[Table]]], Callable[[str], Iterable[Table]]]:
    """Register the decorated function as the one that opens `scheme:…`."""

    def register(function: Callable[[str], Iterable[Table]]) -> Callable[[str], Iterable[Table]]:
        FAMILIES[scheme] = Family(scheme, function, examples)
        return function

    return register


class _BadRowError(Exception):
    """This row gives no question; the message becomes a Problem."""


def nearest(wanted: str, have: Iterable[str]) -> str | None:
    """The name in `have` that was probably meant, ignoring case, or None."""
    folded = {name.casefold(): name for name in have}
    close = get_close_matches(wanted.casefold(), folded, n=1)
    return folded[close[0]] if close else None


def pick_columns(table: Table, mapping: Mapping[str, str]) -> dict[str, str]:
    """Which column of the table serves as our question, gold, domain, kind and choices.

    `mapping` is ours → theirs and must name columns that exist; what it leaves out is found by the usual names.
    """
    there = f"{table.name} has the columns: {', '.join(map(_printable, table.columns))}"
    for ours, theirs in mapping.items():
        if ours not in DEFAULT_COLUMNS:
            hint = f"; write --map {theirs}={ours}" if theirs in DEFAULT_COLUMNS else ""
            raise UsageError(f"--map {ours}={theirs}: {ours!r} is not one of {', '.join(DEFAULT_COLUMNS)}{hint}")
        if table.columns and theirs not in table.columns:
            close = nearest(theirs, table.columns)
            hint = f". Did you mean --map {ours}={_printable(close)}?" if close else ""
            raise UsageError(f"--map {ours}={_printable(theirs)}: there is no column {theirs!r}. {there}{hint}")
    picks = dict(mapping)
    for ours, usual in DEFAULT_COLUMNS.items():
        free = [name for name in usual if name in table.columns and name not in picks.values()]
        if ours not in picks and free:
            picks[ours] = free[0]
    if table.columns and "question" not in picks:
        close = next((near for usual in DEFAULT_COLUMNS["question"] if (near := nearest(usual, table.columns))), None)
        raise UsageError(
            f"no column is called {', '.join(DEFAULT_COLUMNS['question'])}. {there}. "
            f"Say which holds the question: --map question={_printable(close or table.columns[0])}"
        )
    return picks


def questions(table: Table, picks: Mapping[str, str]) -> Iterator[Question | Problem]:
    """The table's rows as questions, each bad one as a Problem in its place."""
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
    text = _storable(column, text).strip()
    if not text:
        raise _BadRowError(f"{column!r} is empty: a question needs text")
    used = picks.values()
    lettered = _choices(picks["choices"], row.get(picks["choices"])) if "choices" in picks else {}
    gold = right_one(row.get(picks["gold"]), lettered) if "gold" in picks else None
    kind = _label(picks["kind"], row.get(picks["kind"])) if "kind" in picks else None
    return Question(
        text=asked_with(text, lettered) if lettered else text,
        gold=_gold(picks["gold"], gold) if "gold" in picks else None,
        domain=_label(picks["domain"], row.get(picks["domain"])) if "domain" in picks else None,
        kind=kind or ("choice" if lettered else None),
        meta={
            _storable("a column's name", name): kept
            for name, value in row.items()
            if name not in used and (kept := _scalar(name, value)) is not None
        },
        line=number,
    )


def _gold(column: str, value: object) -> str | None:
    """Golds that are numbers or booleans in the file become the text a person would write: 51.0 is "51"."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise _BadRowError(f"{column!r} is {value}, which is no answer")
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else str(value)
    if isinstance(value, str):
        return final_gold(_storable(column, value)) or None
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        return _storable(column, "\n".join(value))  # the assertions that a program must pass
    raise _BadRowError(f"{column!r} is {_kind_of(value)}, not text or a number")


def _choices(column: str, value: object) -> dict[str, str]:
    try:
        return {_storable(column, label): _storable(column, text) for label, text in choices(value).items()}
    except ValueError as error:
        raise _BadRowError(f"{column!r} {error}") from None


def _label(column: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _storable(column, value)
    raise _BadRowError(f"{column!r} is {_kind_of(value)}, not text")


def _scalar(column: str, value: object) -> Scalar | None:
    """The value as it may stand in a JSON column of Postgres, or None to leave it out."""
    if isinstance(value, str):
        return _storable(column, value)[:META_CHARS]
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON knows neither NaN nor infinity
    if isinstance(value, int):  # also bool; what exceeds 64 bits is somebody's identifier, and stays readable as text
        return value if -(2**63) <= value < 2**63 else str(value)[:META_CHARS]
    return None


def _storable(column: str, text: str) -> str:
    """Postgres text holds neither NUL nor half a surrogate pair (PostgreSQL manual, 8.3 and 23.3)."""
    if "\0" in text:
        raise _BadRowError(f"{column!r} holds a NUL character, which Postgres cannot store")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            if 0xDC80 <= code <= 0xDCFF:  # how a lenient reader passes on a byte that it could not decode
                raise _BadRowError(f"{column!r} is not UTF-8: byte 0x{code - 0xDC00:02x}") from None
            raise _BadRowError(
                f"{column!r} holds half a surrogate pair (\\u{code:04x}), which Postgres cannot store"
            ) from None
    return text


def _printable(name: str) -> str:
    """The name with half surrogate pairs spelled out: a message that cannot be printed helps nobody."""
    return name.encode(errors="backslashreplace").decode()


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "a boolean" if isinstance(value, bool) else "a number" if isinstance(value, int | float) else "not text"
