"""Question sources: one line of text names a source, and one function streams its questions.

A SOURCE is a path or glob of JSON, CSV, Parquet or Arrow files (`files`), a hub data set (`hf:`, in `hub`), a
reasoning-gym generator (`gym:`, in `gym`) or our own easy word problems (`words:`, in `words`). Each family registers
itself with its examples. A new family needs one file and one import here. A few test sets have short names
(`benchmarks`).

A source is read once, in constant memory. There are two kinds of errors. Wrong use, such as a missing file or column,
is raised before the first row. A bad row is an item of the stream, a `Problem` with its file and line. The good rows
around it are still read.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from producer.sources import files, gym, hub, words  # noqa: F401 (each registers its family)
from producer.sources.benchmarks import BENCHMARKS
from producer.sources.columns import TRACED_COLUMNS, Columns, pick_columns
from producer.sources.questions import questions
from producer.sources.rows import FAMILIES, Problem, Question, Table
from tracemill.errors import UsageError

__all__ = ["Opened", "Problem", "Question", "examples", "open_source", "open_tables", "open_traces"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


class Opened(NamedTuple):
    """A table, and where it has what a question needs."""

    table: Table
    columns: Columns


def open_source(
    source: str,
    *,
    mapping: Mapping[str, str],
    limit: int | None = None,
    remark: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Question | Problem]:
    """Stream the questions of `source`, and its bad rows as Problems, in the order of the source.

    `limit` counts questions, not Problems. `remark` gets a sentence for each layout that is not ours, and for columns
    that may belong to the question, but are not used. Raises the errors of `open_tables` at the call.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: the limit must be at least 1")
    tables = open_tables(source, mapping)
    for sentence in dict.fromkeys(sentence for table, columns in tables for sentence in columns.remarks(table)):
        remark(sentence)
    stream = chain.from_iterable(questions(table, columns) for table, columns in tables)
    return stream if limit is None else _first(limit, stream)


def open_traces(source: str, mapping: Mapping[str, str]) -> list[Opened]:
    """Open the tables of `source` as `open_tables` does, each also with its traces."""
    return [Opened(table, pick_columns(table, mapping, TRACED_COLUMNS)) for table in _tables(source)]


def open_tables(source: str, mapping: Mapping[str, str]) -> list[Opened]:
    """Open the tables of `source`.

    `mapping` is our name → their column, path or template (`paths`). The rest follows from a known layout (`shapes`) or
    from usual column names. Raises UsageError for any wrong argument, and TracemillError if the hub cannot be reached.
    """
    if source in BENCHMARKS and not Path(source).exists():
        source, columns = BENCHMARKS[source]
        mapping = {**columns, **mapping}
    return [Opened(table, pick_columns(table, mapping)) for table in _tables(source)]


def examples() -> list[str]:
    """SOURCE examples of every family, for help pages."""
    return [example for family in FAMILIES.values() for example in family.examples]


def _tables(source: str) -> list[Table]:
    if not source:
        raise UsageError(f"no source given. Examples: {', '.join(examples())}")
    scheme = _SCHEME.match(source)
    if scheme is None or Path(source).exists():
        return list(FAMILIES[""].open(source))
    if scheme[1] not in FAMILIES:
        known = ", ".join(f"{name}:" for name in FAMILIES if name)
        raise UsageError(f"{source!r}: unknown kind of source {scheme[1]!r}. Give a path, or one of {known}")
    return list(FAMILIES[scheme[1]].open(source[scheme.end() :]))


def _first(limit: int, stream: Iterator[Question | Problem]) -> Iterator[Question | Problem]:
    for item in stream:
        yield item
        limit -= isinstance(item, Question)
        if limit == 0:
            return
