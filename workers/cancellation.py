"""Abort the requests of cancelled jobs, to teachers and to judges.

A thread looks once a second for cancelled jobs among those whose requests are under way. It cancels their tasks on the
event loop, which closes the HTTP requests and aborts the requests in vLLM. Answers that are complete are kept.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.session import statement
from tracemill.concurrency import Periodic, once
from tracemill.errors import EngineAway, TracemillError
from tracemill.event_loop import loop

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds between two looks: a cancelled job costs at most this much longer.
LOOK_SECONDS = 1.0

#: The tasks under way by job. Only the event loop changes it.
_under_way: dict[int, set[asyncio.Future[Any]]] = {}


class JobCancelled(EngineAway):
    """The job was cancelled, so its requests are aborted or not sent."""

    def __init__(self) -> None:
        super().__init__("the job is cancelled")


async def unless_cancelled(job_id: int, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. Raises its error, or JobCancelled if its job is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    _under_way.setdefault(job_id, set()).add(task)
    try:
        await asyncio.wait({task})
    finally:
        _under_way[job_id].discard(task)
        if not _under_way[job_id]:
            del _under_way[job_id]
    if task.cancelled():
        raise JobCancelled
    return task.result()


def is_cancelled(job_id: int) -> bool:
    """Whether the job is cancelled."""
    return bool(_cancelled([job_id]))


def _cancelled(job_ids: list[int]) -> Sequence[int]:
    with statement() as connection:
        return connection.execute(Q["cancelled_jobs"], {"job_ids": job_ids}).scalars().all()


@once
def watcher() -> Periodic:
    """The thread that looks for cancelled jobs."""
    return Periodic("cancellation", LOOK_SECONDS, _look)


def _look() -> None:
    if not (job_ids := list(_under_way)):
        return
    try:
        cancelled = _cancelled(job_ids)
    except (SQLAlchemyError, TracemillError):  # Postgres is away: the next look sees the same jobs
        log.warning("could not look for cancelled jobs", exc_info=True)
        return
    if cancelled:
        loop().call_soon_threadsafe(_abort, cancelled)


def _abort(job_ids: Iterable[int]) -> None:
    for job_id in job_ids:
        tasks = _under_way.get(job_id, set())
        log.warning("job %s is cancelled: aborting %d requests", job_id, len(tasks))
        for task in tasks:
            task.cancel()
