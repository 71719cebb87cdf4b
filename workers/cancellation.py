"""Abort the requests of cancelled jobs.

A thread looks once a second for cancelled jobs among those whose visits are under way. It cancels their tasks on the
event loop, which closes the HTTP requests and aborts the requests in vLLM. Answers that are complete are kept.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.session import statement
from tracemill.concurrency import Periodic, once
from tracemill.errors import TracemillError
from tracemill.event_loop import loop

log = logging.getLogger(__name__)

#: Seconds between two looks: a cancelled job costs at most this much longer.
LOOK_SECONDS = 1.0

#: The tasks under way by job. Only the event loop changes it.
_under_way: dict[int, set[asyncio.Future[None]]] = {}


async def unless_cancelled(job_id: int, work: Coroutine[Any, Any, None]) -> bool:
    """Run `work` to its end, or until its job is cancelled. Returns False if it was aborted; raises its error."""
    task = asyncio.ensure_future(work)
    _under_way.setdefault(job_id, set()).add(task)
    try:
        await asyncio.wait({task})
    finally:
        _under_way[job_id].discard(task)
        if not _under_way[job_id]:
            del _under_way[job_id]
    if task.cancelled():
        return False
    task.result()
    return True


@once
def watcher() -> Periodic:
    """The thread that looks for cancelled jobs."""
    return Periodic("cancellation", LOOK_SECONDS, _look)


def _look() -> None:
    if not (job_ids := list(_under_way)):
        return
    try:
        with statement() as connection:
            cancelled = connection.execute(Q["cancelled_jobs"], {"job_ids": job_ids}).scalars().all()
    except (SQLAlchemyError, TracemillError):  # Postgres is away: the next look sees the same jobs
        log.warning("could not look for cancelled jobs", exc_info=True)
        return
    if cancelled:
        loop().call_soon_threadsafe(_abort, cancelled)


def _abort(job_ids: Iterable[int]) -> None:
    for job_id in job_ids:
        tasks = _under_way.get(job_id, set())
        log.warning("job %s is cancelled: aborting %d visits", job_id, len(tasks))
        for task in tasks:
            task.cancel()
