"""The claims of this process: questions that it alone may answer or verify.

A claim is a lease in Postgres, which this process renews while it works on the question (`heartbeat`).
"""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.session import statement
from tracemill.concurrency import Periodic, once
from tracemill.errors import TracemillError
from tracemill.processes import unique_name
from tracemill.settings import settings

log = logging.getLogger(__name__)


class ClaimKey(NamedTuple):
    """A claim of a question. Its id is new for each task: two tasks of one worker never hold the same claim."""

    job_id: int
    question_id: int
    claim_id: UUID


#: Claims that this process holds and renews.
held: set[ClaimKey] = set()


@once
def owner() -> str:
    """The name of this process on its claims."""
    return unique_name()


def columns(keys: Iterable[ClaimKey]) -> dict[str, list[Any]]:
    """The claims as parameters of a statement, an array for each column."""
    keys = list(keys)
    return {
        "job_ids": [key.job_id for key in keys],
        "question_ids": [key.question_id for key in keys],
        "claim_ids": [key.claim_id for key in keys],
    }


@once
def heartbeat() -> Periodic:
    """The thread that renews the held claims, so that a lease ends only when nobody works on its question."""
    lease = settings().feeder.running_lease_seconds
    return Periodic("heartbeat", lease / 3, lambda: _renew(lease))


def _renew(lease: float) -> None:
    if not (keys := list(held)):
        return
    try:
        with statement() as connection:
            connection.execute(Q["renew"], columns(keys) | {"lease": lease})
    except (SQLAlchemyError, TracemillError):  # Postgres is away: the next call tries again; a lost lease is harmless
        log.warning("could not renew the claims", exc_info=True)
