"""The verify task: load the traces of some questions, verify the new ones, store the verdicts, settle the questions.

`tracemill.verification` decides about a trace; here are the rows, the waiting and the settling. The LLM verifier, when
the job's policy asks for one, sees only traces that could still be accepted.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple
from uuid import uuid4

from sqlalchemy.exc import OperationalError, ProgrammingError

from db.queries import Q
from db.retry import patiently
from db.session import statement, transaction
from tracemill.adaptive import Decision, Prior, decide, next_target
from tracemill.celery import VERIFY, app
from tracemill.concurrency import once
from tracemill.engines.registry import engine
from tracemill.errors import EngineDead, TracemillError, without_error_numbers
from tracemill.methods import Method
from tracemill.settings import settings
from tracemill.text import storable
from tracemill.verification import Findings, Verifier
from tracemill.verification.acceptance import Acceptance
from workers import outages
from workers.cancellation import JobCancelled
from workers.claims import ClaimKey, columns, held, holding, owner
from workers.job import WorkerJob, method_of, worker_job
from workers.judging import ask_judge
from workers.shutdown import at_the_end, draining, engine_died
from workers.verdict_rows import Row, StoredTrace, revote_row, stored_trace, verdict_row

log = logging.getLogger(__name__)


@once
def verifier() -> Verifier:
    """This process's means to verify."""
    return Verifier(settings().verify_concurrency or os.cpu_count() or 1)


# A forked worker (Celery's prefork pool) must not use its parent's children.
os.register_at_fork(after_in_child=verifier.cache_clear)


@app.task(name=VERIFY)  # type: ignore[untyped-decorator]
def verify(job_id: int, question_ids: list[int]) -> None:
    """Verify the traces that some questions of one job have so far, and settle the questions."""
    claim_id = uuid4()
    keys = [ClaimKey(job_id, question_id, claim_id) for question_id in question_ids]
    if draining():
        _again(keys)
        return
    with holding(keys):
        if claimed := patiently(lambda: claim(keys, owner())):
            verify_claimed(patiently(lambda: worker_job(job_id)), claimed)


def claim(keys: Sequence[ClaimKey], worker: str) -> list[int]:
    """Claim for a worker the questions that no other verifier works on; return them."""
    with statement() as connection:
        return sorted(connection.execute(Q["claim_verification"], columns(keys) | {"owner": worker}).scalars())


def _again(keys: Iterable[ClaimKey]) -> None:
    with statement() as connection:
        connection.execute(Q["verify_again"], columns(keys))


@at_the_end
def _hand_back() -> None:
    _again(list(held))


def verify_claimed(job: WorkerJob, question_ids: Sequence[int]) -> None:
    """Verify questions, store their verdicts and settle them, or store why not."""
    try:
        outcome = _verified(job, question_ids)
    except EngineDead as error:
        assert job.policy.judge is not None
        engine_died(error, partial(outages.count_death, engine(job.policy.judge), error))
    except (OperationalError, ProgrammingError):  # the schema is being migrated; the claims end with this task
        raise
    except Exception as error:
        if len(question_ids) > 1:  # one of them may be the cause
            _verify_each(job, question_ids)
        elif isinstance(error, TracemillError):
            _not_verified(job.id, {question_ids[0]: error})
        else:
            log.exception("the verification of question %s of job %s failed", question_ids[0], job.id)
            _count_failure(job.id, question_ids[0], error)
    else:
        if outcome is None:
            _verify_each(job, question_ids)
        else:
            _not_verified(job.id, outcome.waiting)


def _verify_each(job: WorkerJob, question_ids: Iterable[int]) -> None:
    for question_id in question_ids:
        verify_claimed(job, [question_id])


def _verified(job: WorkerJob, question_ids: Sequence[int]) -> "Outcome | None":
    """Verify questions and store the verdicts. None if they must be verified one by one, because a judge's engine died.

    Raises the errors of checks, methods, judge and Postgres.
    """
    questions = patiently(lambda: _load(job.id, question_ids))
    if len(questions) > 1 and any(traces[0].deaths for traces in questions):
        return None
    if not questions:
        return Outcome([], [], {})
    outcome = _outcome(job, questions)
    # Only this is repeated while Postgres is away: each reply of a judge is paid for once.
    patiently(lambda: _store(job, questions, outcome))
    return outcome


def _load(job_id: int, question_ids: Sequence[int]) -> list[list[StoredTrace]]:
    """The traces of each question."""
    with statement() as connection:
        rows = connection.execute(Q["to_verify"], {"job_id": job_id, "question_ids": list(question_ids)}).mappings()
        return [list(traces) for _, traces in groupby(map(stored_trace, rows), key=attrgetter("question_id"))]


def _not_verified(job_id: int, waiting: Mapping[int, Exception]) -> None:
    lease = settings().feeder.verify_lease_seconds
    rows = [
        {"job_id": job_id, "question_id": question_id, "error": storable(str(error)), "lease": lease}
        for question_id, error in waiting.items()
        if not isinstance(error, JobCancelled)
    ]
    for row in rows:
        log.error("question %s of job %s is not verified: %s", row["question_id"], job_id, row["error"])

    def store() -> None:
        with statement() as connection:
            connection.execute(Q["not_verified"], rows)

    if rows:
        patiently(store)


def _count_failure(job_id: int, question_id: int, error: Exception) -> None:
    row = {
        "job_id": job_id,
        "question_id": question_id,
        "error": storable(f"{type(error).__name__}: {without_error_numbers(str(error))}"[:2000]),
        "max_attempts": settings().feeder.max_attempts,
    }

    def store() -> None:
        with statement() as connection:
            connection.execute(Q["verification_failed"], row)

    patiently(store)


class Outcome(NamedTuple):
    """The rows that verifying some questions gives."""

    #: Verdicts of traces that had none.
    new: list[Row]
    #: Changes that later votes make in the verdicts of the others.
    revotes: list[Row]
    #: Questions that must wait, and why: no sandbox for a program, or no reply of the judge about a trace. Verdicts of
    #: their other traces are stored.
    waiting: dict[int, TracemillError]


def _outcome(job: WorkerJob, questions: Sequence[Sequence[StoredTrace]]) -> Outcome:
    """Verify the traces that have no verdict. Raises EngineDead, and TracemillError if nothing can be verified."""
    traces = [trace for question in questions for trace in _to_verify(question)]
    acceptance = Acceptance(job.policy, job.negative, _refusal_by(method_of(job, "verify")))
    deaths = {question[0].question_id: question[0].deaths for question in questions}
    verdicts = verifier().verify([trace.item for trace in traces], acceptance, partial(ask_judge, job, deaths))
    outcome = Outcome([], [], {})
    for trace, verdict in zip(traces, verdicts, strict=True):
        if trace.verdict is not None:
            outcome.revotes.append(revote_row(trace, trace.verdict, acceptance, verdict))
        elif verdict.blocked_by is not None:
            outcome.waiting[trace.question_id] = verdict.blocked_by
        else:
            outcome.new.append(verdict_row(trace, job.policy, verdict))
    return outcome


def _to_verify(traces: Sequence[StoredTrace]) -> Sequence[StoredTrace]:
    """The new traces of a question; where samples vote, all of them as soon as one is new."""
    new = [trace for trace in traces if trace.verdict is None]
    votes = not traces[0].item.gold and traces[0].item.scorer is None
    return traces if new and votes else new


def _refusal_by(method: Method) -> Callable[[str, Findings], str | None]:
    """The method's own check of a trace, cut to 500 characters.

    A method is somebody's file: an exception in it refuses the trace, and costs the question no verdict.
    """

    def refusal(text: str, findings: Findings) -> str | None:
        try:
            reason = method.refusal(text, findings)
        except Exception as error:
            log.exception("method %s failed at a trace", method.name)
            reason = f"the method's own check failed: {type(error).__name__}"
        return None if reason is None else storable(reason)[:500]

    return refusal


def _store(job: WorkerJob, questions: Sequence[Sequence[StoredTrace]], outcome: Outcome) -> None:
    accepted = {row["trace_id"]: bool(row["accepted"]) for row in (*outcome.new, *outcome.revotes)}
    complete = [traces for traces in questions if traces[0].question_id not in outcome.waiting]
    with transaction() as connection:
        row = connection.execute(Q["job_prior"], {"job_id": job.id}).one_or_none() if job.plan.give_up else None
        prior = None if row is None else Prior(*row)
        settlements = [_settlement(job, prior, traces, accepted)._asdict() for traces in complete]
        if outcome.new:
            connection.execute(Q["insert_verdicts"], {"rows": json.dumps(outcome.new)})
        if outcome.revotes:
            connection.execute(Q["revote"], outcome.revotes)
        connection.execute(Q["settle"], {"job_id": job.id, "rows": json.dumps(settlements)})
        if unsolved := [row["question_id"] for row in settlements if not row["accepted"]]:
            connection.execute(Q["escalate"], {"job_id": job.id, "question_ids": unsolved})


class Settlement(NamedTuple):
    """A row of the query `settle`."""

    question_id: int
    wanted: int
    traces: int
    accepted: int
    #: Traces that the question is to have from now on.
    next: int
    #: Why it gets no more of them, in a job that samples adaptively.
    ended: str | None


def _settlement(
    job: WorkerJob, prior: Prior | None, traces: Sequence[StoredTrace], accepted: Mapping[int, bool]
) -> Settlement:
    """The decision about a question, by the verdicts that its traces had and the new ones: id -> accepted."""
    n_accepted = sum(accepted.get(trace.id, trace.verdict is not None and trace.verdict.accepted) for trace in traces)
    decision = decide(job.plan, prior, len(traces), n_accepted)
    gets_more = decision is Decision.more
    n_requested = traces[0].n_requested
    return Settlement(
        question_id=traces[0].question_id,
        wanted=n_requested,
        traces=len(traces),
        accepted=n_accepted,
        next=next_target(job.plan, len(traces), n_accepted) if gets_more else n_requested,
        ended=None if gets_more or job.plan.enough is None else decision.value,
    )
