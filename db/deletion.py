"""Delete a job with its traces, in short transactions beside working processes."""

import time
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection

from db.queries import Q
from db.session import transaction
from tracemill.errors import UsageError

#: Questions in the first transaction, and the longest duration of one in seconds. Later ones have as many as fit.
FIRST_BATCH, BATCH_SECONDS = 100, 0.2
#: The states of jobs that can be deleted.
DELETABLE = ("cancelled", "done", "deleting")


class Deleted(NamedTuple):
    """The rows of one transaction, and its duration."""

    questions: int
    traces: int
    seconds: float


def check(connection: Connection, name: str, job_id: int, state: str, force: bool) -> None:
    """Raise UsageError if the job has not ended, or if a round, a job or a loop depends on it."""
    uses = connection.execute(Q["uses_of_job"], {"job_id": job_id, "name": name}).all()
    if unfinished := [f"{use.kind} {use.name}" for use in uses if not use.has_ended]:
        raise UsageError(f"job {name} is in use by {', '.join(unfinished)}: wait until it ends, or cancel it")
    if uses and not force:
        names = ", ".join(f"{use.kind} {use.name}" for use in uses)
        raise UsageError(
            f"job {name} was used by {names}. --force deletes it all the same, with the rows of lineage and of "
            "measurements that need it; `tracemill archive` keeps them in files"
        )
    if state not in DELETABLE:
        raise _not_ended(name, state)


def begin(name: str, job_id: int, state: str, force: bool) -> None:
    """Put an ended job into the state `deleting`. `force` also forgets that rounds used its traces.

    Raises the errors of `check`.
    """
    with transaction() as connection:
        check(connection, name, job_id, state, force)
        if connection.execute(Q["begin_deletion"], {"job_id": job_id}).scalar_one_or_none() is None:
            raise _not_ended(name, "no longer ended")
        for query in ("forget_evaluations", "forget_source"):
            connection.execute(Q[query], {"job_id": job_id})


def _not_ended(name: str, state: str) -> UsageError:
    return UsageError(f"job {name} is {state}: end it first with `tracemill jobs cancel {name}`")


def is_in_work(job_id: int) -> bool:
    """Whether a worker holds questions of the job. It aborts them within seconds."""
    with transaction() as connection:
        return bool(connection.execute(Q["running_questions"], {"job_id": job_id}).scalar_one())


def delete(job_id: int) -> Iterator[Deleted]:
    """Delete the rows of a job in the state `deleting`, and at last the job. Yields after each transaction."""
    n, after = FIRST_BATCH, 0
    while True:
        started = time.monotonic()
        with transaction() as connection:
            values = {"job_id": job_id, "after": after, "n": n}
            row = connection.execute(Q["delete_questions"], values).one()
        if not row.questions:
            break
        seconds, after = time.monotonic() - started, row.last
        n = 2 * n if seconds < BATCH_SECONDS / 2 else max(n // 2, 1) if seconds > BATCH_SECONDS else n
        yield Deleted(row.questions, row.traces, seconds)
    with transaction() as connection:
        _delete_job(connection, job_id)


def _delete_job(connection: Connection, job_id: int) -> None:
    for query in ("delete_late_traces", "delete_job"):
        connection.execute(Q[query], {"job_id": job_id})
