"""The verify task: load a question's unverified traces, check each, store the verdicts, settle the question.

Checks that need no model run in killable child processes (`workers.checks.pool`). The LLM verifier, when the job's
policy asks for one, is asked through an engine like any other model. Each signal is stored by itself; the policy then
says whether the trace is accepted.
"""

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping

from db.queries import Q
from db.session import transaction
from tracemill.celery import VERIFY, app
from tracemill.errors import EngineDead, EngineError
from tracemill.once import once
from tracemill.settings import settings
from tracemill.text import storable
from workers.checks import Findings
from workers.checks.answers import STRICT_FORMS
from workers.checks.judge import rate
from workers.checks.pool import CheckPool
from workers.job import WorkerJob, worker_job
from workers.loop import run
from workers.running import end_worker, engine

log = logging.getLogger(__name__)


@once
def pool() -> CheckPool:
    """This process's children for symbolic work."""
    return CheckPool(workers=settings().verify_concurrency or os.cpu_count() or 1)


# A forked worker (Celery's prefork pool) must not use its parent's children.
os.register_at_fork(after_in_child=pool.cache_clear)


@app.task(name=VERIFY)  # type: ignore[untyped-decorator]
def verify(job_id: int, question_id: int) -> None:
    """Verify what one question of one job has so far, and settle it."""
    job = worker_job(job_id)
    key = {"job_id": job_id, "question_id": question_id}
    with transaction() as connection:
        traces = connection.execute(Q["unverified"], key).mappings().all()
    if traces:
        found = pool().check_all([(trace["text"], trace["gold"]) for trace in traces])
        try:
            ratings = _ratings(job, question_id, traces)
        except EngineDead as error:
            end_worker(error)
        verdicts = [
            _verdict(job, trace, findings, rating)
            for trace, findings, rating in zip(traces, found, ratings, strict=True)
        ]
        with transaction() as connection:
            connection.execute(Q["insert_verdict"], verdicts)
    with transaction() as connection:
        connection.execute(Q["settle"], key)


def _ratings(job: WorkerJob, question_id: int, traces: Sequence[RowMapping]) -> list[float | EngineError | None]:
    """One rating a trace; a judge that fails is an error on the trace, never a lost verdict."""
    if not job.policy.judges(question_id) or job.policy.judge is None:
        return [None] * len(traces)
    judge = engine(job.policy.judge)

    async def one(trace: RowMapping) -> float | EngineError | None:
        if trace["answer"] is None:
            return None
        try:
            return await rate(judge, trace["question"], trace["reasoning"], trace["answer"])
        except EngineDead:
            raise
        except EngineError as error:
            return error

    async def every() -> list[float | EngineError | None]:
        return await asyncio.gather(*(one(trace) for trace in traces))

    return run(every())


def _verdict(
    job: WorkerJob, trace: RowMapping, findings: Findings, rating: float | EngineError | None
) -> dict[str, Any]:
    errors = [str(error) for error in (findings.error, rating if isinstance(rating, EngineError) else None) if error]
    score = None if isinstance(rating, EngineError) else rating
    verdict: dict[str, Any] = {
        "trace_id": trace["id"],
        "verifier": job.policy.verifier,
        "correct": findings.correct,
        "proof": storable(findings.proof),
        "faithfulness": score,
        "coherence": None,
        "equations_checked": findings.equations_checked,
        "equations_false": findings.equations_false,
        "signals": json.dumps({} if score is None else {"rating": score}),
        "findings": json.dumps([{"false_equation": storable(text)} for text in findings.false_equations]),
        "error": storable("; ".join(errors)) or None,
        "seconds": findings.seconds,
    }
    accepted = job.policy.accepts(verdict, stated=trace["answer_form"] in STRICT_FORMS)
    return verdict | {"accepted": accepted}
