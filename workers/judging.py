"""The judge of a job: asked through one bounded way, and watched with canaries, once a job."""

import logging
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from uuid import uuid4

from db.queries import Q
from db.retry import patiently
from db.session import transaction
from tracemill.engines.registry import answered, engine
from tracemill.engines.usage import Usage, counted
from tracemill.errors import EngineAway, EngineDead, EngineError
from tracemill.event_loop import run
from tracemill.verification.judge import CanaryResult, Judged
from tracemill.verification.judge.bounded import Judge, Request
from workers import cancellation, outages, room
from workers.cancellation import JobCancelled
from workers.job import WorkerJob
from workers.outages import Occupant, Work
from workers.spending import Payment, judge_payment, pay

log = logging.getLogger(__name__)

#: Jobs whose canaries are stored. Of all threads that wait for the canaries of a job, one asks.
_watched: set[int] = set()
_watching = threading.Lock()


@cache
def judge_of(alias: str) -> Judge:
    """This process's judge behind a model alias. Raises UsageError or EngineError."""
    return Judge(alias)


def ask_judge(job: WorkerJob, deaths: Mapping[int, int], requests: Sequence[Request | None]) -> list[Judged | None]:
    """The replies of the job's judge, in order. Raises EngineDead.

    A judge that is away or paused, and a job that is cancelled, are data: `Judged.away`. Complete replies are kept.
    `deaths`: the questions of the requests, each with the number of engines that died with it in them.
    """
    assert job.policy.judge is not None
    judge = judge_of(job.policy.judge)
    cancellation.watcher()
    replies: list[Judged | None] = [None] * len(requests)
    occupants = [Occupant(Work.verdict, job.id, question_id) for question_id in deaths]
    away: EngineAway | None = None
    try:
        if patiently(lambda: cancellation.is_cancelled(job.id)):
            raise JobCancelled
        with outages.unless_paused(judge.alias), room.judging(engine(judge.alias), max(deaths.values())):
            _fill(job, judge, replies, requests, occupants)
        first = next((reply.away for reply in replies if reply and reply.away), None)
        answered(judge.alias, first)
    except outages.Paused as error:
        away = error
    except EngineAway as error:
        away = error
        if not isinstance(error, JobCancelled):
            answered(judge.alias, error)
    return [reply or (Judged(away=away) if request else None) for reply, request in zip(replies, requests, strict=True)]


def _fill(
    job: WorkerJob,
    judge: Judge,
    replies: list[Judged | None],
    requests: Sequence[Request | None],
    occupants: Sequence[Occupant],
) -> None:
    death: EngineDead | None = None
    usage, claim_id, running = Usage(), uuid4(), engine(judge.alias)
    outages.enter(running, occupants)
    try:
        _watch(job, judge, usage)
        run(cancellation.unless_cancelled(job.id, counted(usage, judge.fill(replies, requests))))
    except EngineDead as error:
        death = error
        raise
    finally:
        outages.leave(running, occupants, death)
        patiently(lambda: _pay(judge_payment(claim_id, job, usage, judge.alias)))


def _pay(payment: Payment) -> None:
    with transaction() as connection:
        pay(connection, [payment])


def _watch(job: WorkerJob, judge: Judge, usage: Usage) -> None:
    """Ask the canaries of a job that has none yet: does its judge obey traces that tell it how to answer?"""
    with _watching:
        if job.id in _watched:
            return
        if not patiently(lambda: _has_canaries(job)):
            try:
                results = run(cancellation.unless_cancelled(job.id, counted(usage, judge.canaries())))
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
