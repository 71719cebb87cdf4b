"""The verify task: load the traces of some questions, check the new ones, store the verdicts, settle the questions.

Checks that need no model run in killable child processes (`verification.pool`), programs in a sandbox
(`verification.code.sandbox`). The LLM verifier, when the job's policy asks for one, sees only what could still be
accepted. Each signal is stored by itself; the policy then says whether the trace is accepted.
"""

import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from db.queries import Q
from db.retry import patiently
from db.session import statement, transaction
from tracemill.celery import VERIFY, app
from tracemill.concurrency import once
from tracemill.engines.registry import end_worker
from tracemill.errors import EngineAway, EngineDead, TracemillError
from tracemill.methods import named
from tracemill.settings import settings
from tracemill.text import storable
from tracemill.verification.answers.voting import Vote, count
from tracemill.verification.checks import Findings, Item
from tracemill.verification.code.check import check_code
from tracemill.verification.code.sandbox import Sandbox
from tracemill.verification.pool import CheckPool
from workers.adaptive import Decision, decide, next_wanted
from workers.job import WorkerJob, worker_job
from workers.judging import judge_traces
from workers.priors import prior
from workers.shutdown import at_the_end, draining
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
def verify(job_id: int, question_ids: list[int]) -> None:
    """Verify what some questions of one job have so far, and settle them."""
    _held[threading.get_ident()] = (job_id, question_ids)
    try:
        if draining():
            _again(job_id, question_ids)
        else:
            _verify(job_id, question_ids)
    finally:
        del _held[threading.get_ident()]


#: What this process is verifying right now, by thread.
_held: dict[int, tuple[int, list[int]]] = {}


def _again(job_id: int, question_ids: list[int]) -> None:
    with statement() as connection:
        connection.execute(Q["verify_again"], {"job_id": job_id, "question_ids": question_ids})


@at_the_end
def _hand_back() -> None:
    for job_id, question_ids in list(_held.values()):
        _again(job_id, question_ids)


def _verify(job_id: int, question_ids: list[int]) -> None:
    job = patiently(lambda: worker_job(job_id))
    questions = patiently(lambda: _traces(job_id, question_ids))
    if not questions:
        return
    try:
        verdicts = _verdicts(job, questions)
    except EngineDead as error:
        end_worker(error)
    except TracemillError as error:  # no sandbox: the question waits for one
        if len(question_ids) > 1:  # which of them?
            for question_id in question_ids:
                _verify(job_id, [question_id])
            return
        _not_verified(job_id, {question_ids[0]: error})
        return
    # Only this is done again while Postgres is away: a judge is paid for what it says once.
    patiently(lambda: _store(job, questions, verdicts))
    _not_verified(job_id, verdicts.waiting)


def _traces(job_id: int, question_ids: list[int]) -> list[list[Mapping[str, Any]]]:
    """Those of each question."""
    with statement() as connection:
        rows = connection.execute(Q["to_verify"], {"job_id": job_id, "question_ids": question_ids}).mappings()
        return [list(group) for _, group in groupby(map(dict, rows), key=itemgetter("question_id"))]


def _not_verified(job_id: int, waiting: Mapping[int, Exception]) -> None:
    rows = [
        {"job_id": job_id, "question_id": question_id, "error": storable(str(error))}
        for question_id, error in waiting.items()
    ]
    for row in rows:
        log.error("question %s of job %s is not verified: %s", row["question_id"], job_id, row["error"])

    def store() -> None:
        with statement() as connection:
            connection.execute(Q["not_verified"], rows)

    if rows:
        patiently(store)


class Verdicts(NamedTuple):
    """What was found out about some questions."""

    #: Of traces that had none.
    new: list[Row]
    #: What later votes change in those of the others.
    revoted: list[Row]
    #: Questions with a trace of which the judge could say nothing, and why. What it said of their others is kept.
    waiting: dict[int, EngineAway]


def _store(job: WorkerJob, questions: Sequence[Sequence[Mapping[str, Any]]], verdicts: Verdicts) -> None:
    by_trace = {row["trace_id"]: bool(row["accepted"]) for row in (*verdicts.new, *verdicts.revoted)}
    whole = [traces for traces in questions if traces[0]["question_id"] not in verdicts.waiting]
    settled = [_settled(job, traces, by_trace) for traces in whole]
    with transaction() as connection:
        if verdicts.new:
            connection.execute(Q["insert_verdicts"], {"rows": json.dumps(verdicts.new)})
        if verdicts.revoted:
            connection.execute(Q["revote"], verdicts.revoted)
        connection.execute(Q["settle"], {"job_id": job.id, "rows": json.dumps(settled)})


def _settled(job: WorkerJob, traces: Sequence[Mapping[str, Any]], verdicts: Mapping[int, bool]) -> Row:
    """What is decided about a question by the verdicts that its traces had, and by the new ones."""
    count = sum(
        verdicts[trace["id"]] if trace["id"] in verdicts else bool(trace["verdict"]["accepted"]) for trace in traces
    )
    wanted = traces[0]["wanted"]
    decision = decide(job.plan, prior(job.id) if job.plan.give_up else None, len(traces), count)
    return {
        "question_id": traces[0]["question_id"],
        "wanted": wanted,
        "traces": len(traces),
        "accepted": count,
        "next": next_wanted(job.plan, len(traces), count) if decision is Decision.more else wanted,
        "ended": decision.value if job.plan.enough is not None and decision is not Decision.more else None,
    }


def _verdicts(job: WorkerJob, questions: Sequence[Sequence[Mapping[str, Any]]]) -> Verdicts:
    """Verify the traces that have no verdict. Raises TracemillError where there is no sandbox for a program."""
    policy, method = job.policy, named(job.method)
    voting = [_voting(traces) for traces in questions]
    every = [trace for traces in voting for trace in traces]
    found = dict(zip([trace["id"] for trace in every], _found(every), strict=True))
    votes: dict[int, Vote | None] = {}
    for traces in voting:
        ids = [trace["id"] for trace in traces]
        votes |= zip(ids, _votes(traces, [found[one] for one in ids]), strict=True)
    new = [trace for trace in every if trace["verdict"] is None]
    rows = [
        verdict(trace["id"], policy, found[trace["id"]], votes[trace["id"]])
        | {"refused": refusal(method, trace["text"], found[trace["id"]])}
        for trace in new
    ]
    wanted = [
        policy.judges(trace["question_id"])
        and not job.negative
        and (policy.judge_refused or passes(policy, hoped(policy, row), trace))
        for row, trace in zip(rows, new, strict=True)
    ]
    verdicts: list[Row] = []
    waiting: dict[int, EngineAway] = {}
    asked = judge_traces(job, new, [found[trace["id"]] for trace in new], wanted)
    for trace, row, said in zip(new, rows, asked, strict=True):
        if isinstance(said, EngineAway):
            waiting[trace["question_id"]] = said
            continue
        row = with_judge(policy, row | agreed(policy, row, said), said)
        verdicts.append(row | {"accepted": accepted(policy, row, trace, said.scores if said else {}, job.negative)})
    old = [trace for trace in every if trace["verdict"] is not None]
    return Verdicts(verdicts, [revote(policy, trace, votes[trace["id"]], job.negative) for trace in old], waiting)


def _voting(traces: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The traces of a question to look at: the new ones; where they vote, all, as soon as there is a new one."""
    new = [trace for trace in traces if trace["verdict"] is None]
    return traces if new and not traces[0]["gold"] else new


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
