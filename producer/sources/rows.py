"""The tables of a source, their rows, and the questions made of them.

Every source has one or more *tables*: a name, columns, and numbered rows. An unreadable row is replaced by a sentence
with the reason and keeps its number. So it stops nothing, and it is reported.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NewType, TypeAlias

from tracemill.errors import UsageError
from tracemill.verification.scorers import Scoring

Broken = NewType("Broken", str)  # why a row could not be read
Row: TypeAlias = tuple[int, Mapping[str, object] | Broken]
Scalar: TypeAlias = str | int | float | bool


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
    #: Reads only these of the columns that hold lists and objects; None: reading all is not slow.
    read: Callable[[Collection[str]], Iterator[Row]] | None = None
    #: A later row may have columns that `columns` lacks.
    grows: bool = False

    def select(self, used: Collection[str]) -> Iterator[Row]:
        """The rows, at least with the columns `used` and all columns of plain values."""
        return self.rows() if self.read is None else self.read(used)


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


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The most similar name in `known`, ignoring case, or None."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(name.casefold(), folded, n=1)
    return folded[close[0]] if close else None


def require_unique(name: str, columns: Iterable[str]) -> None:
    """Raise UsageError if two columns of a table have the same name."""
    twice = sorted(column for column, count in Counter(columns).items() if count > 1)
    if twice:
        raise UsageError(f"{name} has more than one column {', '.join(map(repr, twice))}: give each its own name")
