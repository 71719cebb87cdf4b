"""The claims of this process: questions that it alone may answer or verify.

A claim names its process in Postgres. The feeder takes it back when the heartbeats of the process end (`db.heartbeat`).
A claim that no task holds, because its task failed or its reply came too late, is ended by `end_forgotten`.
"""

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Set
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from db.heartbeat import heartbeat
from db.queries import Q
from db.retry import patiently
from db.session import statement
from tracemill.concurrency import Periodic, once
from tracemill.errors import TracemillError
from tracemill.settings import settings

log = logging.getLogger(__name__)


class ClaimKey(NamedTuple):
    """A claim of a question. Its id is new for each task: two tasks of one worker never hold the same claim."""

    job_id: int
    question_id: int
    claim_id: UUID


#: The claims of the tasks of this process, each from before it is made until after its work is stored.
held: set[ClaimKey] = set()


@contextmanager
def holding(keys: Collection[ClaimKey]) -> Iterator[None]:
    """Hold claims until the block ends. They are made inside it."""
    watcher()
    patiently(heartbeat().refresh)
    held.update(keys)
    try:
        yield
    finally:
        held.difference_update(keys)


def owner() -> str:
    """The name of this process on its claims."""
    return heartbeat().name


def columns(keys: Iterable[ClaimKey]) -> dict[str, list[Any]]:
    """The claims as parameters of a statement, an array for each column."""
    keys = list(keys)
    return {
        "job_ids": [key.job_id for key in keys],
        "question_ids": [key.question_id for key in keys],
        "claim_ids": [key.claim_id for key in keys],
    }


@once
def watcher() -> Periodic:
    """The thread that ends forgotten claims."""
    return Periodic("claims", settings().feeder.running_lease_seconds, end_forgotten)


# A forked child (Celery's prefork pool) has none of its parent's threads.
os.register_at_fork(after_in_child=watcher.cache_clear)


def end_forgotten() -> None:
    """End the claims of this process in Postgres that no task of it holds."""
    try:
        if ended := end_all_but(held, owner()):
            log.warning("%d questions go back, because their tasks ended without a result", ended)
    except (SQLAlchemyError, TracemillError):  # Postgres is away: the next call tries again
        log.warning("could not look for forgotten claims", exc_info=True)


def end_all_but(held: Set[ClaimKey], owner: str) -> int:
    """End the claims of a process that are not held; the number of those that were ended."""
    with statement() as connection:
        claims = {ClaimKey(*row) for row in connection.execute(Q["claims_of"], {"owner": owner})}
        # `held` is read after the claims: a claim that is in Postgres and not held now has lost its task.
        forgotten = claims - held
        return connection.execute(Q["end_claims"], columns(forgotten)).rowcount if forgotten else 0
