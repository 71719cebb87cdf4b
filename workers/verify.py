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
from workers.adaptive import Decision, decide, next_wanted
from workers.checks import Findings, Item
from workers.checks.code import check_code
from workers.checks.majority import Vote, count
from workers.checks.pool import CheckPool
from workers.checks.sandbox import Sandbox
from workers.job import WorkerJob, worker_job
from workers.judging import judge_traces
from workers.methods import named
from workers.priors import prior
from workers.running import end_worker
from workers.verdicts import Row, accepted, agreed, hoped, passes, refusal, revote, verdict, with_judge

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
        traces = [dict(row) for row in connection.execute(Q["to_verify"], key).mappings()]
    if not traces:
        return
    try:
        verdicts, revoted = _verdicts(job, question_id, traces)
    except EngineDead as error:
        end_worker(error)
    except TracemillError as error:  # no sandbox, or no judge: the question waits for one
        log.error("question %s of job %s is not verified: %s", question_id, job_id, error)
        with transaction() as connection:
            connection.execute(Q["not_verified"], key | {"error": storable(str(error))})
        return
    settled = _settled(job, traces, verdicts, revoted)
    with transaction() as connection:
        if verdicts:
            connection.execute(Q["insert_verdict"], verdicts)
        if revoted:
            connection.execute(Q["revote"], revoted)
        connection.execute(Q["settle"], key | settled)


def _settled(job: WorkerJob, traces: Sequence[Mapping[str, Any]], *verdicts: Sequence[Mapping[str, Any]]) -> Row:
    """What the verdicts, those that the traces had and the new ones, decide about the question."""
    by_trace = {trace["id"]: trace["verdict"]["accepted"] for trace in traces if trace["verdict"]}
    by_trace |= {row["trace_id"]: row["accepted"] for rows in verdicts for row in rows}
    count, wanted = sum(by_trace.values()), traces[0]["wanted"]
    decision = decide(job.plan, prior(job.id) if job.plan.give_up else None, len(traces), count)
    return {
        "wanted": wanted,
        "traces": len(traces),
        "accepted": count,
        "next": next_wanted(job.plan, len(traces), count) if decision is Decision.more else wanted,
        "ended": decision.value if job.plan.enough is not None and decision is not Decision.more else None,
    }


def _verdicts(job: WorkerJob, question_id: int, traces: Sequence[Mapping[str, Any]]) -> tuple[list[Row], list[Row]]:
    """The verdicts of the traces that have none, and what later votes change in those of the others.

    Raises TracemillError where there is no sandbox for a program, or no judge.
    """
    policy, method = job.policy, named(job.method)
    new = [trace for trace in traces if trace["verdict"] is None]
    # Answers are compared with each other where no gold answer is there to compare with.
    voting = traces if new and not traces[0]["gold"] else new
    found = dict(zip([trace["id"] for trace in voting], _found(voting), strict=True))
    votes = dict(zip(found, _votes(voting, list(found.values())), strict=True))
    rows = [
        verdict(trace["id"], policy, found[trace["id"]], votes[trace["id"]])
        | {"refused": refusal(method, trace["text"], found[trace["id"]])}
        for trace in new
    ]
    wanted = [
        policy.judges(question_id)
        and not job.negative
        and (policy.judge_refused or passes(policy, hoped(policy, row), trace))
        for row, trace in zip(rows, new, strict=True)
    ]
    verdicts = []
    asked = judge_traces(job, new, [found[trace["id"]] for trace in new], wanted)
    for trace, row, said in zip(new, rows, asked, strict=True):
        row = with_judge(policy, row | agreed(policy, row, said), said)
        verdicts.append(row | {"accepted": accepted(policy, row, trace, said.scores if said else {}, job.negative)})
    old = [trace for trace in voting if trace["verdict"] is not None]
    return verdicts, [revote(policy, trace, votes[trace["id"]], job.negative) for trace in old]


def _found(traces: Sequence[Mapping[str, Any]]) -> list[Findings]:
    """The findings of each trace; the programs among them have been run."""
    items = [
        Item(
            trace["text"],
            trace["gold"],
            trace["question"],
            trace["kind"],
            tuple(step["text"] for step in trace["steps"]),
        )
        for trace in traces
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
    if not found:
        return []
    kind = found[0].kind
    if traces[0]["gold"] or kind is None or kind == "code":
        return [None] * len(found)
    # "No idea" is the last line of a trace, and no number.
    guesses = ("last line",) if kind in ("number", "expression") else ()
    answered = [place for place, one in enumerate(found) if one.answer is not None and one.answer_form not in guesses]
    numbers = pool().group([found[place].answer or "" for place in answered], kind)
    by_place: dict[int, int] = dict(zip(answered, numbers, strict=True))
    return count([by_place.get(place) for place in range(len(found))])
