"""Stream a source into `questions` and a job's rows into `job_questions`.

It works in batches and in constant memory. Each batch is one transaction, and the content identifies a question. So
running a killed enqueue again resumes it, and a repeated question is stored once. The next batch is read while Postgres
stores this one.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from psycopg import Connection as Psycopg
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from db.jobs import JobSpec, cancelled, open_job
from db.queries import Q
from db.session import transaction
from producer.sources import Problem, Question
from tracemill.text import content_hash, fingerprint

#: Questions per transaction: enough for COPY to pay off, and few to repeat after a kill.
BATCH = 2000
#: Characters per transaction: a thousand long documents would not fit into memory.
BATCH_CHARS = 8_000_000
#: New rows after which the tables are analyzed, and again at the end. Without it Postgres plans for the old sizes, and
#: one query of the feeder may read all pending rows. Autovacuum alone analyzes once a minute.
ANALYSE_AT = 10_000

STAGED = (
    "create temp table staged_questions (content_hash text, fingerprint text, dataset text, domain text, "
    "kind text, question text, gold text, meta jsonb) on commit drop"
)

#: A row of `staged_questions`.
Staged: TypeAlias = tuple[str | None, ...]


@dataclass
class Enqueued:
    """The result of an enqueue."""

    job_id: int
    #: Questions read from the source, and rows that are new in the job (the rest were there already).
    read: int = 0
    new: int = 0
    #: Questions of the source with a gold answer.
    golds: int = 0
    #: Questions of the source that are stored with another domain or kind, which they keep.
    unchanged: int = 0
    #: The first unreadable rows, at most 20, and the number of all unreadable rows.
    problems: list[Problem] = field(default_factory=list)
    bad: int = 0


def enqueue(
    rows: Iterable[Question | Problem],
    spec: JobSpec,
    *,
    dataset: str,
    domain: str,
    progress: Callable[[Enqueued], None] = lambda _: None,
) -> Enqueued:
    """Open the job and store the questions. A question's own domain takes precedence over `domain`.

    Raises UsageError when the job's name is taken by a job with other settings.
    """
    with transaction() as connection:
        done = Enqueued(open_job(connection, spec))

    def add_stored(read: int, writing: Future[Stored]) -> None:
        stored = writing.result()
        before, done.new = done.new, done.new + stored.new
        done.read += read
        done.unchanged += stored.unchanged
        if before < ANALYSE_AT <= done.new:
            _analyse()
        progress(done)

    # At most two batches are in memory: one is written while the other is read. The block's end waits for the writer.
    with ThreadPoolExecutor(1, "enqueue") as writer:
        under_way: tuple[int, Future[Stored]] | None = None
        for batch in _batches(_questions(rows, done)):
            staged = staged_rows(batch, dataset, domain)
            done.golds += sum(question.gold is not None for question in batch)
            if under_way:
                add_stored(*under_way)
            under_way = len(batch), writer.submit(_insert, done.job_id, spec.name, staged)
        if under_way:
            add_stored(*under_way)
    _finish(done)
    return done


def enqueue_from(spec: JobSpec, *, accepted: bool | None, limit: int | None) -> Enqueued:
    """Open the job with questions of the job that it builds on; drop it if there are none.

    Raises UsageError when the job's name is taken by a job with other settings.
    """
    assert spec.from_job_id is not None
    with transaction() as connection:
        done = copy_questions(connection, spec, spec.from_job_id, accepted=accepted, limit=limit)
        connection.execute(Q["drop_empty_job"], {"job_id": done.job_id})
    analyse_if_large(done)
    return done


def open_tier(spec: JobSpec) -> Enqueued:
    """Open the job that takes what another job fails, with the questions that it has failed so far.

    Raises UsageError when the job's name is taken by a job with other settings.
    """
    with transaction() as connection:
        done = Enqueued(open_job(connection, spec))
        failed = {"job_id": spec.from_job_id, "question_ids": None}
        done.new = connection.execute(Q["escalate"], failed).scalar_one()
        done.read = connection.execute(Q["count_job_questions"], {"job_id": done.job_id}).scalar_one()
        connection.execute(Q["job_filled"], {"job_id": done.job_id})
    analyse_if_large(done)
    return done


def copy_questions(
    connection: Connection, spec: JobSpec, from_job_id: int, *, accepted: bool | None = None, limit: int | None = None
) -> Enqueued:
    """Open the job with questions of another job.

    `accepted`: True copies settled questions with an accepted trace, False those without one, None all. A second call
    adds the questions that were settled since the first. Raises UsageError when the job's name is taken by a job with
    other settings.
    """
    done = Enqueued(open_job(connection, spec))
    values = {"job_id": done.job_id, "from_job_id": from_job_id, "accepted": accepted, "most": limit}
    done.new = connection.execute(Q["copy_job_questions"], values).rowcount
    done.read = connection.execute(Q["count_job_questions"], {"job_id": done.job_id}).scalar_one()
    for change in ("job_filled", "reopen_job"):
        connection.execute(Q[change], {"job_id": done.job_id})
    return done


def analyse_if_large(done: Enqueued) -> None:
    """Analyze the tables if many rows are new."""
    if done.new >= ANALYSE_AT:
        _analyse()


def _finish(done: Enqueued) -> None:
    analyse_if_large(done)
    with transaction() as connection:
        for change in ("drop_empty_job", "job_filled", "reopen_job"):
            connection.execute(Q[change], {"job_id": done.job_id})


def _analyse() -> None:
    with transaction() as connection:
        connection.exec_driver_sql("analyze (skip_locked) questions, job_questions")


def _questions(rows: Iterable[Question | Problem], done: Enqueued) -> Iterator[Question]:
    for row in rows:
        if isinstance(row, Problem):
            done.bad += 1
            if len(done.problems) < 20:
                done.problems.append(row)
        else:
            yield row


def _batches(questions: Iterable[Question]) -> Iterator[list[Question]]:
    batch: list[Question] = []
    chars = 0
    for question in questions:
        batch.append(question)
        chars += len(question.text) + len(question.gold or "")
        if len(batch) == BATCH or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def staged_rows(batch: list[Question], dataset: str, domain: str) -> list[Staged]:
    """Build the batch's rows of the staging table, each question once."""
    rows: dict[str, Staged] = {}
    for question in batch:
        key = content_hash(dataset, question.text, question.gold)
        if key not in rows:
            rows[key] = (
                key,
                fingerprint(question.text),
                dataset,
                question.domain or domain,
                question.kind,
                question.text,
                question.gold,
                json.dumps(
                    {**question.meta, "scorer": question.scorer._asdict()} if question.scorer else question.meta
                ),
            )
    return list(rows.values())


class Stored(NamedTuple):
    """The result of one batch, as in `Enqueued`."""

    new: int
    unchanged: int


def _insert(job_id: int, name: str, staged: list[Staged]) -> Stored:
    """Store the rows in one transaction.

    Raises UsageError when the job has been cancelled meanwhile.
    """
    while True:
        try:
            with transaction() as connection:
                if connection.execute(Q["cancelled_jobs"], {"job_ids": [job_id]}).all():
                    raise cancelled(name)
                connection.exec_driver_sql(STAGED)
                copy_staged(connection, staged)
                are_all_new = connection.execute(Q["insert_questions"]).rowcount == len(staged)
                unchanged = 0 if are_all_new else connection.execute(Q["stored_otherwise"]).scalar_one()
                return Stored(connection.execute(Q["insert_job_questions"], {"job_id": job_id}).rowcount, unchanged)
        except OperationalError as error:
            # Another enqueue stores the same questions in another order. It finishes after this rollback, or it is
            # frozen and Postgres ends its session.
            if not isinstance(error.orig, DeadlockDetected | LockNotAvailable):
                raise


def copy_staged(connection: Connection, staged: list[Staged]) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, Psycopg)
    with raw.cursor() as cursor, cursor.copy("copy staged_questions from stdin") as copy:
        for row in staged:
            copy.write_row(row)
