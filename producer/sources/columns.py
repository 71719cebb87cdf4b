"""Find the columns of a table that hold questions, gold answers and choices."""

from collections.abc import Mapping
from shlex import quote

from producer.sources.rows import Table, nearest
from tracemill.errors import UsageError

DEFAULT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "problem", "prompt", "instruction", "input", "query"),
    "gold": ("gold", "answer", "final_answer", "solution", "target", "output", "label"),
    "domain": ("domain",),
    "kind": ("kind",),
    "choices": ("choices", "options"),
}


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


def _flag(ours: str, theirs: str) -> str:
    """The option that maps a column, as a shell takes it."""
    return f"--map {quote(f'{ours}={_printable(theirs)}')}"


def _printable(name: str) -> str:
    """The name with lone surrogates escaped, so that a message with it can be printed."""
    return name.encode(errors="backslashreplace").decode()
