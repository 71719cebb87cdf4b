"""The judge of a job: asked through one bounded way, and watched with canaries, once a job."""

import logging
import threading
from collections.abc import Sequence
from functools import cache

from db.queries import Q
from db.retry import patiently
from db.session import transaction
from tracemill.engines.registry import answered
from tracemill.errors import EngineAway, EngineDead, EngineError
from tracemill.verification.judge import CanaryResult, Judged
from tracemill.verification.judge.bounded import Judge, Request
from workers.job import WorkerJob

log = logging.getLogger(__name__)

#: Jobs whose canaries are stored. Of all threads that wait for the canaries of a job, one asks.
_watched: set[int] = set()
_watching = threading.Lock()


@cache
def judge_of(alias: str) -> Judge:
    """This process's judge behind a model alias. Raises UsageError or EngineError."""
    return Judge(alias)


def ask_judge(job: WorkerJob, requests: Sequence[Request | None]) -> list[Judged | None]:
    """The replies of the job's judge, in order. A judge that is away is data, `Judged.away`. Raises EngineDead."""
    assert job.policy.judge is not None
    judge = judge_of(job.policy.judge)
    try:
        _watch(job, judge)
        replies = judge.ask(requests)
    except EngineAway as error:  # the canaries could not be asked
        replies = [Judged(away=error) if request else None for request in requests]
    answered(judge.alias, next((reply.away for reply in replies if reply and reply.away), None))
    return replies


def _watch(job: WorkerJob, judge: Judge) -> None:
    """Ask the canaries of a job that has none yet: does its judge obey traces that tell it how to answer?"""
    with _watching:
        if job.id in _watched:
            return
        if not patiently(lambda: _has_canaries(job)):
            try:
                results = judge.canaries()
            except (EngineAway, EngineDead):
                raise
            except EngineError as error:
                log.warning("job %s: the canaries could not be asked: %s", job.id, error)
                return
            patiently(lambda: _store(job, results))
        _watched.add(job.id)


def _has_canaries(job: WorkerJob) -> bool:
    with transaction() as connection:
        return bool(connection.execute(Q["job_canaries"], {"job_id": job.id}).all())


def _store(job: WorkerJob, results: Sequence[CanaryResult]) -> None:
    with transaction() as connection:
        connection.execute(Q["insert_canary"], [{"job_id": job.id} | result._asdict() for result in results])
