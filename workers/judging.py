"""The LLM verifier of a job: asked about the traces that could still be accepted, and watched with canaries."""

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from db.queries import Q
from db.retry import patiently
from db.session import transaction
from tracemill.engines.registry import answered, engine
from tracemill.errors import EngineAway, EngineDead, EngineError
from tracemill.event_loop import run
from tracemill.verification.checks import Findings
from tracemill.verification.judge import CanaryResult, Case, Judged, ask, canaries
from workers.job import WorkerJob

log = logging.getLogger(__name__)

#: Jobs whose judge this process has seen watched. All threads that wait for a job's canaries let one ask.
_watched: set[int] = set()
_watching = threading.Lock()


def judge_traces(
    job: WorkerJob, traces: Sequence[Mapping[str, Any]], found: Sequence[Findings], wanted: Sequence[bool]
) -> list[Judged | EngineAway | None]:
    """What the judge says of each wanted trace that has an answer, or why it said nothing yet. Raises EngineDead.

    A judge that fails otherwise is an error on the trace, never a lost verdict.
    """
    cases = [
        Case(trace["question"], findings.steps, findings.answer, trace["gold"], findings.steps_are_thoughts)
        if asked and findings.answer is not None
        else None
        for trace, findings, asked in zip(traces, found, wanted, strict=True)
    ]
    alias = job.policy.judge
    if alias is None or not any(cases):
        return [None] * len(cases)
    judge = engine(alias)

    async def one(case: Case | None) -> Judged | EngineAway | None:
        try:
            return None if case is None else await ask(judge, case, job.policy.signals)
        except EngineAway as error:
            return error

    async def every() -> list[Judged | EngineAway | None]:
        return await asyncio.gather(*map(one, cases))

    try:
        _watch(job)
        said = run(every())
    except EngineAway as error:  # the canaries could not be asked
        said = [error if case else None for case in cases]
    answered(alias, next((one for one in said if isinstance(one, EngineAway)), None))
    return said


def _watch(job: WorkerJob) -> None:
    """Once a job: does its judge fall for traces that tell it what to say? The results are rows of `canaries`."""
    assert job.policy.judge is not None
    with _watching:
        if job.id in _watched:
            return
        if not patiently(lambda: _known(job)):
            try:
                results = run(canaries(engine(job.policy.judge)))
            except (EngineAway, EngineDead):
                raise
            except EngineError as error:
                log.warning("job %s: the canaries could not be asked: %s", job.id, error)
                return
            patiently(lambda: _store(job, results))
        _watched.add(job.id)


def _known(job: WorkerJob) -> bool:
    with transaction() as connection:
        return bool(connection.execute(Q["job_canaries"], {"job_id": job.id}).all())


def _store(job: WorkerJob, results: Sequence[CanaryResult]) -> None:
    with transaction() as connection:
        connection.execute(Q["insert_canary"], [{"job_id": job.id} | result._asdict() for result in results])
