"""The rows of an export, read from views in the order of their ids, in transactions of about a second.

A layout and an archive read the traces of a question together, so they go through the ids of questions.

One long transaction would keep every dead row of the database, and each statement of the feeder would read them again.
A replica cancels long transactions. So an export is no snapshot: a verdict that comes meanwhile may be in it.
"""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from cli.export_files import BATCH, Columns
from cli.export_layouts import LayoutRows
from tracemill.errors import UsageError, unreachable

#: The column that says whether a round may train on a trace.
USE = "training_use"
#: Its value for traces whose question is also in an evaluation.
OVERLAP = "overlap"
#: Names of columns that are read only to recognise overlaps and to continue.
_HIDDEN = ("_question", "_use", "_id")
#: Ids in the first statement. Later ones have as many as are read in about a second.
FIRST_SPAN, MAX_SPAN = 10_000, 10_000_000
#: The same for ids of questions, because all their traces are held in memory.
FIRST_QUESTIONS, MAX_QUESTIONS = 100, 1_000
#: Seconds until a lost connection counts as an error. A failover takes up to two minutes.
PATIENCE = 180.0
#: Seconds between two attempts to reach Postgres.
PAUSE = 1.0

Connection = psycopg.Connection[dict[str, Any]]


class Batch(NamedTuple):
    """The matching rows up to the id `last`."""

    last: int
    rows: list[dict[str, Any]]
    #: Matching traces that are not written, by their `training_use`.
    left_out: Counter[str]


@dataclass
class Rows(ABC):
    """The rows of a view."""

    url: str
    #: Whether the ids are those of questions.
    by_question: bool = field(kw_only=True, default=True)
    #: The columns of the rows.
    kinds: Columns = field(init=False)

    def __post_init__(self) -> None:
        try:
            with self._connect() as connection:
                self._begin(connection)
        except psycopg.OperationalError as error:
            raise unreachable("Postgres", error) from None

    @abstractmethod
    def _begin(self, connection: Connection) -> None:
        """Prepare the statements, and learn the columns."""

    @abstractmethod
    def _read(self, connection: Connection, after: int, last: int) -> Batch:
        """The rows with ids above `after`, up to `last` or less."""

    def batches(self, after: int, end: int) -> Iterator[Batch]:
        """The matching rows with ids above `after`, up to `end`. An absence of the server only delays them."""
        span, largest = (FIRST_QUESTIONS, MAX_QUESTIONS) if self.by_question else (FIRST_SPAN, MAX_SPAN)
        connection, failed_at = None, None
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
                    connection, span = None, next_span(span, PATIENCE, largest)
                    time.sleep(PAUSE)
                    continue
                seconds, failed_at, after = time.monotonic() - started, None, batch.last
                span = next_span(span, seconds, largest)
                yield batch
        finally:
            if connection is not None:
                connection.close()

    def _connect(self) -> Connection:
        connection = psycopg.connect(self.url, row_factory=dict_row, connect_timeout=10)
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return connection


@dataclass
class Traces(Rows):
    """The traces of the view that match a condition of the user, whose SQL runs as the read-only role."""

    where: str
    columns: Sequence[str]
    uses: Sequence[str]
    layout: LayoutRows | None = None
    #: When the first trace of the database was stored: it recognises the database. And the last id.
    first: str = field(init=False)
    end: int = field(init=False)

    def _begin(self, connection: Connection) -> None:
        self._id = sql.Identifier("question_id" if self.by_question else "trace_id")
        # The line break ends a comment in the condition.
        self._condition = sql.SQL("from trace_scores where (") + sql.SQL(self.where) + sql.SQL("\n)")
        names = map(sql.Identifier, self.columns)
        selected = sql.SQL(", ").join(names) if self.columns else sql.SQL("trace_scores.*")
        hidden = sql.SQL(", question as _question, training_use as _use, {} as _id ").format(self._id)
        self._rows = sql.SQL("select ") + selected + hidden + self._condition
        described = _execute(connection, self._rows + sql.SQL(" limit 0")).description or []
        kinds = {c.name: _kind(c.type_code) for c in described if c.name not in _HIDDEN}
        self.kinds = self.layout.columns if self.layout else kinds
        first = _execute(
            connection, sql.SQL("select created_at from trace_scores order by trace_id limit 1")
        ).fetchone()
        self.first = str(first["created_at"]) if first else ""
        last = sql.SQL("select {} as id from trace_scores order by 1 desc limit 1").format(self._id)
        row = _execute(connection, last).fetchone()
        self.end = int(row["id"]) if row else 0
        self._overlaps = _overlaps(connection)

    def _read(self, connection: Connection, after: int, last: int) -> Batch:
        ids = sql.SQL(" and {id} > {after} and {id} <= {last}")
        here = self._rows + ids.format(id=self._id, after=after, last=last)
        chosen = sql.SQL(" and training_use = any({}) order by {}, trace_id").format(list(self.uses), self._id)
        if not self.by_question:
            chosen += sql.SQL(" limit {}").format(BATCH)
        rows = _execute(connection, here + chosen).fetchall()
        last = rows[-1]["_id"] if not self.by_question and len(rows) == BATCH else last
        others = sql.SQL(" and training_use <> all({}) group by 1").format(list(self.uses))
        counted = sql.SQL("select training_use, count(*) ") + self._condition
        counts = _execute(connection, counted + ids.format(id=self._id, after=after, last=last) + others)
        left_out = Counter({row["training_use"]: row["count"] for row in counts})
        kept = list(self._kept(rows, left_out))
        return Batch(last, self.layout.of_traces(kept) if self.layout else kept, left_out)

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


@dataclass
class Lineage(Rows):
    """The rows of the view round_lineage for the traces of a job, without their texts."""

    job: str

    def _begin(self, connection: Connection) -> None:
        every = sql.SQL("select * from round_lineage limit 0")
        columns = {c.name: _kind(c.type_code) for c in _execute(connection, every).description or []}
        self.kinds = {name: kind for name, kind in columns.items() if name not in ("question", "text", "thoughts")}

    def _read(self, connection: Connection, after: int, last: int) -> Batch:
        query = sql.SQL(
            "select {} from round_lineage where job = {} and question_id > {} and question_id <= {} "
            "order by question_id, trace_id, round, role, evaluation_job"
        ).format(sql.SQL(", ").join(map(sql.Identifier, self.kinds)), self.job, after, last)
        return Batch(last, _execute(connection, query).fetchall(), Counter())


def next_span(span: int, seconds: float, largest: int = MAX_SPAN) -> int:
    """The number of ids to read after a transaction over `span` ids, which took `seconds`."""
    if seconds < 0.5:
        return min(2 * span, largest)
    return max(span // 2, 1) if seconds > 1.5 else span


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
