"""The traces of an export, read from the view in the order of their ids, in transactions of about a second.

One long transaction would keep every dead row of the database, and each statement of the feeder would read them again.
A replica cancels long transactions. So an export is no snapshot: a verdict that comes meanwhile may be in it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from cli.export_files import BATCH, Columns
from tracemill.errors import UsageError, unreachable

#: The column that says whether a round may train on a trace.
USE = "training_use"
#: Its value for traces whose question is also in an evaluation.
OVERLAP = "overlap"
#: Names of columns that are read only to recognise overlaps and to continue.
_HIDDEN = ("_question", "_use", "_id")
#: Ids in the first statement. Later ones have as many as are read in about a second.
FIRST_SPAN, MAX_SPAN = 10_000, 10_000_000
#: Seconds until a lost connection counts as an error. A failover takes up to two minutes.
PATIENCE = 180.0
#: Seconds between two attempts to reach Postgres.
PAUSE = 1.0

Connection = psycopg.Connection[dict[str, Any]]


class Batch(NamedTuple):
    """The matching traces up to the id `last`."""

    last: int
    rows: list[dict[str, Any]]
    #: Matching traces that are not written, by their `training_use`.
    left_out: Counter[str]


@dataclass
class Traces:
    """The traces of the view that match a condition of the user, whose SQL runs as the read-only role."""

    url: str
    where: str
    columns: Sequence[str]
    uses: Sequence[str]
    kinds: Columns = field(init=False)
    #: When the first trace of the database was stored: it recognises the database. And the id of the last trace.
    first: str = field(init=False)
    end: int = field(init=False)

    def __post_init__(self) -> None:
        try:
            with self._connect() as connection:
                self._begin(connection)
        except psycopg.OperationalError as error:
            raise unreachable("Postgres", error) from None

    def _begin(self, connection: Connection) -> None:
        # The line break ends a comment in the condition.
        self._condition = sql.SQL("from trace_scores where (") + sql.SQL(self.where) + sql.SQL("\n)")
        names = map(sql.Identifier, self.columns)
        selected = sql.SQL(", ").join(names) if self.columns else sql.SQL("trace_scores.*")
        hidden = sql.SQL("question as _question, training_use as _use, trace_id as _id ")
        self._rows = sql.SQL("select ") + selected + sql.SQL(", ") + hidden + self._condition
        described = _execute(connection, self._rows + sql.SQL(" limit 0")).description or []
        self.kinds = {c.name: _kind(c.type_code) for c in described if c.name not in _HIDDEN}
        self.first, _ = _end_of(connection, "asc")
        _, self.end = _end_of(connection, "desc")
        self._overlaps = _overlaps(connection)

    def batches(self, after: int, end: int) -> Iterator[Batch]:
        """The matching traces with ids above `after`, up to `end`. An absence of the server only delays them."""
        span, connection, failed_at = FIRST_SPAN, None, None
        try:
            while after < end:
                started = time.monotonic()
                try:
                    connection = connection or self._connect()
                    with connection.transaction():
                        batch = self._read(connection, after, min(after + span, end))
                except psycopg.OperationalError as error:
                    failed_at = failed_at or started
                    if started - failed_at > PATIENCE:
                        raise unreachable("Postgres", error) from None
                    if connection is not None:
                        connection.close()
                    connection, span = None, next_span(span, PATIENCE)
                    time.sleep(PAUSE)
                    continue
                seconds, failed_at, after = time.monotonic() - started, None, batch.last
                span = next_span(span, seconds)
                yield batch
        finally:
            if connection is not None:
                connection.close()

    def _read(self, connection: Connection, after: int, last: int) -> Batch:
        ids = " and trace_id > {} and trace_id <= {}"
        here = self._rows + sql.SQL(ids).format(after, last)
        chosen = sql.SQL(" and training_use = any({}) order by trace_id limit {}").format(list(self.uses), BATCH)
        rows = _execute(connection, here + chosen).fetchall()
        last = rows[-1]["_id"] if len(rows) == BATCH else last
        others = sql.SQL(f"{ids} and training_use <> all({{}}) group by 1").format(after, last, list(self.uses))
        counts = _execute(connection, sql.SQL("select training_use, count(*) ") + self._condition + others)
        left_out = Counter({row["training_use"]: row["count"] for row in counts})
        return Batch(last, list(self._kept(rows, left_out)), left_out)

    def _kept(self, rows: list[dict[str, Any]], left_out: Counter[str]) -> Iterator[dict[str, Any]]:
        """The rows to write. A question that resembles one of an evaluation is an overlap, as in a selection."""
        for row in rows:
            question, use, _ = (row.pop(name) for name in _HIDDEN)
            if use not in (OVERLAP, "evaluate") and self._overlaps(question):
                if USE in row:
                    row[USE] = OVERLAP
                if OVERLAP not in self.uses:
                    left_out[OVERLAP] += 1
                    continue
            yield row

    def _connect(self) -> Connection:
        connection = psycopg.connect(self.url, row_factory=dict_row, connect_timeout=10)
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return connection


def next_span(span: int, seconds: float) -> int:
    """The number of ids to read after a transaction over `span` ids, which took `seconds`."""
    if seconds < 0.5:
        return min(2 * span, MAX_SPAN)
    return max(span // 2, 1) if seconds > 1.5 else span


def _end_of(connection: Connection, order: LiteralString) -> tuple[str, int]:
    """The time and the id of the first (asc) or the last (desc) trace."""
    query = sql.SQL("select trace_id, created_at from trace_scores order by 1 ") + sql.SQL(order) + sql.SQL(" limit 1")
    row = _execute(connection, query).fetchone()
    return (str(row["created_at"]), int(row["trace_id"])) if row else ("", 0)


def _execute(connection: Connection, query: sql.SQL | sql.Composed) -> psycopg.Cursor[dict[str, Any]]:
    """Run one statement. Postgres prepares only a single one, so the user's condition cannot add others."""
    try:
        return connection.execute(query, prepare=True)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise UsageError(f"Postgres refused --where or --columns: {str(error).strip()}") from None


def _overlaps(connection: Connection) -> Callable[[str], bool]:
    """Whether a question overlaps one of an evaluation, by the rules and the default bounds of `[select]`."""
    from trainer.select.decontamination import Overlaps
    from trainer.select.spec import SelectSpec

    fields = SelectSpec.model_fields
    known = Overlaps(fields["ngram"].default, fields["overlap"].default)
    for row in connection.execute("select question_id, question from evaluation_questions"):
        known.add(row["question_id"], row["question"])
    return lru_cache(10_000)(lambda question: known.find(question) is not None)


def _kind(oid: int) -> str:
    known = psycopg.postgres.types.get(oid)
    return known.name if known else "text"
