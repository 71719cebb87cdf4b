"""Convert the rows of a source's tables to questions.

Every source has one or more *tables*: a name, columns, and numbered rows. An unreadable row is replaced by a sentence
with the reason and keeps its number. So it stops nothing, and it is reported.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from shlex import quote
from typing import NewType, TypeAlias

from producer.sources.choices import choices, gold_letter, with_choices
from tracemill.errors import UsageError
from tracemill.text import final_gold
from tracemill.verification.scorers import Scoring, scoring_of

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
MAX_ENTRY = 1_000_000  # characters of the entry of a scorer, as JSON


@dataclass(frozen=True, slots=True)
class Question:
    """One question, ready to be stored."""

    text: str
    gold: str | None  #: only the final answer (see `final_gold`)
    domain: str | None
    kind: str | None
    meta: dict[str, Scalar]  #: the row's other columns that hold text, numbers or booleans
    line: int | None  #: 1-based line of a text file, otherwise the row number
    scorer: Scoring | None = None  #: what judges its answers in place of `gold`


@dataclass(frozen=True, slots=True)
class Problem:
    """One row without a usable question."""

    where: str  #: "questions.jsonl:17"
    what: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with a name. `columns` may be empty if no row can be read. Each call of `rows()` starts again."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of source. `open` takes the text after the scheme, and raises wrong use before any row."""

    scheme: str  #: "" for plain paths
    open: Callable[[str], Iterable[Table]]
    examples: tuple[str, ...]


FAMILIES: dict[str, Family] = {}


def family(
    scheme: str, *, examples: tuple[str, ...]
) -> Callable[[Callable[[str], Iterable[Table]]], Callable[[str], Iterable[Table]]]:
    """Decorator: register a function that opens `scheme:…`."""

    def register(function: Callable[[str], Iterable[Table]]) -> Callable[[str], Iterable[Table]]:
        FAMILIES[scheme] = Family(scheme, function, examples)
        return function

    return register


class _BadRowError(Exception):
    """A row without a usable question. The message becomes a Problem."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The most similar name in `known`, ignoring case, or None."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(name.casefold(), folded, n=1)
    return folded[close[0]] if close else None


def pick_columns(table: Table, mapping: Mapping[str, str]) -> dict[str, str]:
    """The table's columns for question, gold, domain, kind and choices.

    `mapping` is our column → their column and must name existing columns. Other columns are found by their usual names.
    """
    listing = f"{table.name} has the columns: {', '.join(map(_printable, table.columns))}"
    for ours, theirs in mapping.items():
        if ours not in DEFAULT_COLUMNS:
            hint = f"; write --map {theirs}={ours}" if theirs in DEFAULT_COLUMNS else ""
            raise UsageError(f"--map {ours}={theirs}: {ours!r} is not one of {', '.join(DEFAULT_COLUMNS)}{hint}")
        if table.columns and theirs not in table.columns:
            close = nearest(theirs, table.columns)
            hint = f". Did you mean {_flag(ours, close)}?" if close else ""
            raise UsageError(f"--map {ours}={_printable(theirs)}: there is no column {theirs!r}. {listing}{hint}")
    picks = dict(mapping)
    for ours, usual in DEFAULT_COLUMNS.items():
        free = [column for name in usual for column in _called(name, ours, table) if column not in picks.values()]
        if ours not in picks and free:
            picks[ours] = free[0]
    if table.columns and "question" not in picks:
        close = next((near for usual in DEFAULT_COLUMNS["question"] if (near := nearest(usual, table.columns))), None)
        raise UsageError(
            f"no column is called {', '.join(DEFAULT_COLUMNS['question'])}. {listing}. "
            f"Name the column of the question: {_flag('question', close or table.columns[0])}"
        )
    return picks


def _called(name: str, ours: str, table: Table) -> list[str]:
    """The columns with this name. Only a question's is case-sensitive: SVAMP's `Question` is half of the question."""
    folded = [column for column in table.columns if column.casefold() == name]
    return [name] if name in folded else [] if ours == "question" else folded


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
    gold = _gold(picks["gold"], gold) if "gold" in picks else None
    return Question(
        text=with_choices(text, lettered) if lettered else text,
        gold=gold,
        domain=_label(picks["domain"], row.get(picks["domain"])) if "domain" in picks else None,
        kind=kind or ("choice" if lettered else None),
        meta={
            _checked_text("a column's name", name): kept
            for name, value in row.items()
            if name not in used and (kept := _scalar(name, value)) is not None
        },
        line=number,
        scorer=_scorer(row, text, gold, used) if "scorer" in row else None,
    )


def _scorer(row: Mapping[str, object], text: str, gold: str | None, used: Collection[str]) -> Scoring | None:
    """The scorer that the column `scorer` names, with an entry that JSON and Postgres can hold."""
    others = {name: value for name, value in row.items() if name not in used and name != "scorer"}
    try:
        scoring = scoring_of(row["scorer"], question=text, answer=gold, metadata=lambda: others)
        if scoring is None:
            return None
        entry = json.dumps(scoring.entry, allow_nan=False, default=str)
    except (ValueError, TypeError, RecursionError) as error:
        raise _BadRowError(str(error)) from None
    if "\\u0000" in entry or len(entry) > MAX_ENTRY:
        raise _BadRowError(f"the entry of its scorer has a NUL character, or more than {MAX_ENTRY:,} characters")
    return Scoring(scoring.name, json.loads(entry))


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


def _flag(ours: str, theirs: str) -> str:
    """The option that maps a column, as a shell takes it."""
    return f"--map {quote(f'{ours}={_printable(theirs)}')}"


def _printable(name: str) -> str:
    """The name with lone surrogates escaped, so that a message with it can be printed."""
    return name.encode(errors="backslashreplace").decode()


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "a boolean" if isinstance(value, bool) else "a number" if isinstance(value, int | float) else "not text"
