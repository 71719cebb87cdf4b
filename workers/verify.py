"""The verify task: load a question's unverified traces, check each, store the verdicts, settle the question.

Checks that need no model run in killable child processes (`workers.checks.pool`), programs in a sandbox
(`workers.checks.sandbox`). The LLM verifier, when the job's policy asks for one, sees only what could still be
accepted. Each signal is stored by itself; the policy then says whether the trace is accepted.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from db.queries import Q
from db.session import transaction
from tracemill.celery import VERIFY, app
from tracemill.errors import EngineDead, TracemillError
from tracemill.once import once
from tracemill.settings import settings
from tracemill.text import storable
from workers.checks import Findings, Item
from workers.checks.code import check_code
from workers.checks.majority import Vote, count
from workers.checks.pool import CheckPool
from workers.checks.sandbox import Sandbox
from workers.job import WorkerJob, worker_job
from workers.judging import judge_traces
from workers.running import end_worker
from workers.verdicts import agreed, hoped, passes, verdict, with_judge

log = logging.getLogger(__name__)


@once
def pool() -> CheckPool:
    """This process's children for symbolic work."""
    return CheckPool(workers=settings().verify_concurrency or os.cpu_count() or 1)


@once
def sandbox() -> Sandbox:
    """Where programs run."""
    return Sandbox()


# A forked worker (Celery's prefork pool) must not use its parent's children.
os.register_at_fork(after_in_child=pool.cache_clear)


@app.task(name=VERIFY)  # type: ignore[untyped-decorator]
def verify(job_id: int, question_id: int) -> None:
    """Verify what one question of one job has so far, and settle it."""
    job = worker_job(job_id)
    key = {"job_id": job_id, "question_id": question_id}
    with transaction() as connection:
        traces = [dict(row) for row in connection.execute(Q["unverified"], key).mappings()]
    if traces:
        try:
            verdicts = _verdicts(job, question_id, traces)
        except EngineDead as error:
            end_worker(error)
        except TracemillError as error:  # no sandbox, or no judge: the question waits for one
            log.error("question %s of job %s is not verified: %s", question_id, job_id, error)
            with transaction() as connection:
                connection.execute(Q["not_verified"], key | {"error": storable(str(error))})
            return
        with transaction() as connection:
            connection.execute(Q["insert_verdict"], verdicts)
    with transaction() as connection:
        connection.execute(Q["settle"], key)


def _verdicts(job: WorkerJob, question_id: int, traces: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of `verdicts`. Raises TracemillError where there is no sandbox for a program, or no judge."""
    policy = job.policy
    found = _found(traces)
    rows = [
        verdict(trace["id"], policy, findings, vote)
        for trace, findings, vote in zip(traces, found, _votes(traces, found), strict=True)
    ]
    wanted = [
        policy.judges(question_id) and (policy.judge_refused or passes(policy, hoped(policy, row), trace))
        for row, trace in zip(rows, traces, strict=True)
    ]
    verdicts = []
    for trace, row, said in zip(traces, rows, judge_traces(job, traces, found, wanted), strict=True):
        row = with_judge(policy, row | agreed(policy, row, said), said)
        accepted = passes(policy, row, trace) and policy.passes_gates(said.scores if said else {})
        verdicts.append(row | {"accepted": accepted})
    return verdicts


def _found(traces: Sequence[Mapping[str, Any]]) -> list[Findings]:
    """The findings of each trace; the programs among them have been run."""
    items = [
        Item(trace["text"], trace["gold"], trace["question"], trace["kind"], tuple(trace["steps"])) for trace in traces
    ]
    found = pool().check_all(items)
    for place, (item, findings) in enumerate(zip(items, found, strict=True)):
        if findings.kind == "code" and item.gold:
            sandbox().require()
            correct, proof = check_code(sandbox(), item.text, item.gold, item.question)
            found[place] = replace(findings, correct=correct, proof=proof)
    return found


def _votes(traces: Sequence[Mapping[str, Any]], found: Sequence[Findings]) -> list[Vote | None]:
    """Without a gold answer: how the samples vote."""
    kind = found[0].kind
    if traces[0]["gold"] or kind is None or kind == "code":
        return [None] * len(found)
    # "No idea" is the last line of a trace, and no number.
    guesses = ("last line",) if kind in ("number", "expression") else ()
    answered = [place for place, one in enumerate(found) if one.answer is not None and one.answer_form not in guesses]
    numbers = pool().group([found[place].answer or "" for place in answered], kind)
    by_place: dict[int, int] = dict(zip(answered, numbers, strict=True))
    return count([by_place.get(place) for place in range(len(found))])
