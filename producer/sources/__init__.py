"""Question sources: one line of text names a source, and one function streams its questions.

A SOURCE is a path or glob of JSONL, CSV or Parquet files (`files`), a hub data set (`hf:`, in `hub`), a reasoning-gym
generator (`gym:`, in `gym`) or our own easy word problems (`words:`, in `words`). Each family registers itself with its
examples. A new family needs one file and one import here. A few test sets have short names (`benchmarks`).

A source is read once, in constant memory. There are two kinds of errors. Wrong use, such as a missing file or column,
is raised before the first row. A bad row is an item of the stream, a `Problem` with its file and line. The good rows
around it are still read.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from producer.sources import files, gym, hub, words  # noqa: F401 (each registers its family)
from producer.sources.benchmarks import BENCHMARKS
from producer.sources.columns import pick_columns
from producer.sources.questions import questions
from producer.sources.rows import FAMILIES, Problem, Question, Table
from tracemill.errors import UsageError

__all__ = ["Problem", "Question", "examples", "open_source"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def open_source(source: str, *, mapping: Mapping[str, str], limit: int | None = None) -> Iterator[Question | Problem]:
    """Stream the questions of `source`, and its bad rows as Problems, in the order of the source.

    `mapping` is our column → their column (`{"question": "prompt"}`). Other columns are found by their usual names.
    `limit` counts questions, not Problems. Raises UsageError at the call for any wrong argument, and TracemillError if
    the hub cannot be reached.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: the limit must be at least 1")
    if source in BENCHMARKS and not Path(source).exists():
        source, columns = BENCHMARKS[source]
        mapping = {**columns, **mapping}
    tables = _tables(source)
    picked = [(table, pick_columns(table, mapping)) for table in tables]
    stream = chain.from_iterable(questions(table, picks) for table, picks in picked)
    return stream if limit is None else _first(limit, stream)


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
