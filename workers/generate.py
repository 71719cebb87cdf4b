"""The generate task: claim a question, request its missing samples, store them, nudge the verifier.

The claim is a lease in Postgres, which this worker renews (`heartbeat`). No transaction is open while the model works.
A task that runs twice does nothing the second time: its question is claimed, or its samples exist.
"""

import json
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.retry import patiently
from db.session import statement, transaction
from tracemill import thinking
from tracemill.celery import GENERATE, app, nudge_verifiers
from tracemill.concurrency import Periodic, batched, once
from tracemill.engines.registry import answered, end_worker, engine
from tracemill.errors import (
    EngineAway,
    EngineDead,
    RequestRefused,
    TracemillError,
    UnknownMethod,
    without_error_numbers,
)
from tracemill.event_loop import run
from tracemill.logprobs import ENCODING, encode
from tracemill.processes import unique_name
from tracemill.settings import model, settings
from tracemill.text import storable
from tracemill.verification.answers.kinds import Kind, guess
from workers import cancellation
from workers.job import Chains, WorkerJob, method_of, worker_job
from workers.pause import is_paused
from workers.room import rooms_of
from workers.shutdown import at_the_end, draining
from workers.traces import trace_row
from workers.visit import Sampler, Slot, Visit, cost_limit, slots, token_limit

log = logging.getLogger(__name__)

Row: TypeAlias = dict[str, Any]

#: Claims that this process holds and renews, as (job, question).
_held: set[tuple[int, int]] = set()


@once
def owner() -> str:
    """The name of this process on its claims."""
    return unique_name()


@dataclass(frozen=True)
class Claim:
    """A question that this worker may answer, and its missing traces."""

    job: WorkerJob
    question_id: int
    question: str
    gold: str | None
    kind: Kind
    chains: Chains
    missing: tuple[Slot, ...]


@app.task(name=GENERATE)  # type: ignore[untyped-decorator]
def generate(job_id: int, question_id: int) -> None:
    """Answer one question of one job."""
    with _claim_room(job_id) as has_room:
        if not has_room:
            _unqueue(job_id, question_id)
            return
        claim = patiently(lambda: _claim(job_id, question_id))
        if claim is None:
            return
        try:
            _visit(claim)
        finally:
            _held.discard((job_id, question_id))


def _claim_room(job_id: int) -> AbstractContextManager[bool]:
    """Room for one visit of a job. It yields False if the worker shuts down or is paused first."""
    if draining():  # the engine of a paused worker may start only afterwards
        return nullcontext(False)
    try:
        job = patiently(lambda: worker_job(job_id))
        return rooms_of(engine(job.model)).claimed.taken(job.plan.batch, draining)
    except TracemillError:
        return nullcontext(not draining())  # the visit meets the same error, and stores it


def _visit(claim: Claim) -> None:
    visit = Visit()
    try:
        if claim.missing:
            visit = _ask(claim)
            if visit.answers:
                answered(claim.job.model)
        complete = patiently(lambda: _store((claim, visit)))
        if visit.error is not None and not complete:
            raise visit.error
    except EngineDead as error:
        _release(claim, error, counts=False)
        end_worker(error)
    except TracemillError as error:
        if isinstance(error, EngineAway):
            answered(claim.job.model, error)
        _release(
            claim,
            error,
            permanent=isinstance(error, RequestRefused),
            counts=not isinstance(error, EngineAway | UnknownMethod),
        )
    except Exception as error:
        _release(claim, error)
        raise
    else:
        if visit.is_aborted and not complete:
            patiently(lambda: _give_back([(claim.job.id, claim.question_id)]))
        elif not complete:
            # Some servers return one sample whatever n is: a visit with any answer is no failure.
            n_answers = len(visit.answers)
            too_few = TracemillError(f"the engine gave {n_answers} samples of {len(claim.missing)}")
            _release(claim, too_few, counts=n_answers == 0)


def _claim(job_id: int, question_id: int) -> Claim | None:
    heartbeat()
    cancellation.watcher()
    if worker_job(job_id).budget_unit is None:  # raises the problems of this job alone
        return _claim_batched((job_id, question_id))
    return _claim_within_budget(job_id, question_id)


def _claim_all(keys: list[tuple[int, int]]) -> list[Claim | None]:
    with statement() as connection:
        claims = _claims(connection, keys, reserved=0.0)
    # Of two equal messages one gets the claim.
    return [claims.pop(key, None) for key in keys]


def _claim_within_budget(job_id: int, question_id: int) -> Claim | None:
    key = {"job_id": job_id, "question_id": question_id}
    with transaction() as connection:
        row = connection.execute(Q["lock_job"], key).one_or_none()
        reserved = 0.0 if row is None else _reserve(worker_job(job_id), Shortage(*row))
        claim = _claims(connection, [(job_id, question_id)], reserved).get((job_id, question_id))
        if claim is None:  # other visits may hold the rest of the budget: the feeder sends the question again
            connection.execute(Q["unqueue"], {"job_id": job_id, "question_ids": [question_id]})
        return claim


def _unqueue(job_id: int, question_id: int) -> None:
    _change("unqueue", {"job_id": job_id, "question_ids": [question_id]})


@at_the_end
def _give_back_all() -> None:
    _give_back(list(_held))


def _give_back(keys: Sequence[tuple[int, int]]) -> None:
    _change("hand_back", _ids(keys) | {"owner": owner()})


def _change(query: str, row: Row) -> None:
    with statement() as connection:
        connection.execute(Q[query], row)


def _claims(connection: Connection, keys: Sequence[tuple[int, int]], reserved: float) -> dict[tuple[int, int], Claim]:
    lease = {"owner": owner(), "lease": settings().feeder.running_lease_seconds, "reserved": reserved}
    claims: dict[tuple[int, int], Claim] = {}
    for row in connection.execute(Q["claim"], _ids(keys) | lease):
        chains = worker_job(row.job_id).chains(row.domain)
        have = {Slot(*pair) for pair in row.have}
        claims[row.job_id, row.question_id] = Claim(
            worker_job(row.job_id),
            row.question_id,
            row.question,
            row.gold,
            row.kind or guess(row.gold, row.question),
            chains,
            tuple(slot for slot in slots(chains, row.wanted) if slot not in have),
        )
    _held.update(claims)
    return claims


_claim_batched = batched(_claim_all, max_items=64, wait=0.03)


def _ids(keys: Sequence[tuple[int, int]]) -> dict[str, list[int]]:
    return {"job_ids": [job for job, _ in keys], "question_ids": [question for _, question in keys]}


class Shortage(NamedTuple):
    """The missing traces of a question, and the lengths of the texts that its prompts quote: a row of `lock_job`."""

    question_bytes: int
    gold_bytes: int
    trace_bytes: int
    missing: int


def _reserve(job: WorkerJob, shortage: Shortage) -> float:
    """The highest cost of a visit, in the unit of the job's budget."""
    question, gold, trace, missing = shortage
    slot_bytes = {"question": question, "gold": gold, "trace": trace}
    alias = model(job.model)
    longest = job.sampling.max_tokens or alias.context
    if longest is None:  # the alias had a context when the job was opened
        raise TracemillError(f"a budget needs the longest answer, and the context of model {job.model} is not known")
    tokens = max(token_limit(chains, missing, slot_bytes, longest) for chains in job.prompts.values())
    return tokens if job.budget_unit == "tokens" else cost_limit(tokens, alias)


def _ask(claim: Claim) -> Visit:
    job = claim.job
    running = engine(job.model)
    sampler = Sampler(running, model(job.model), job.sampling, job.adapter)
    values = _values(claim)

    visit = Visit()

    async def ask() -> None:
        await sampler.visit(claim.chains, claim.missing, values, visit)

    with rooms_of(running).inside.taken(len(claim.missing), is_paused) as has_room:
        if not has_room:
            visit.is_aborted = True
            return visit
        try:
            run(cancellation.unless_cancelled(job.id, ask()))
        except cancellation.JobCancelled:
            visit.is_aborted = True
    return visit


def _values(claim: Claim) -> dict[str, str]:
    """The values of the templates' slots. Raises RequestRefused where the question will never have one."""
    job = claim.job
    values = {"question": claim.question}
    needs = method_of(job, "generate").needs
    if "gold" in needs:
        if claim.gold is None:
            raise RequestRefused(f"method {job.method} needs a gold answer, and this question has none")
        values["gold"] = claim.gold
    if "trace" in needs:
        key = {"from_job_id": job.from_job_id, "question_id": claim.question_id}
        trace = patiently(lambda: _trace_to_quote(key))
        if trace is None:
            raise RequestRefused(f"method {job.method} needs a trace to quote, and the job it builds on has none here")
        values["trace"] = thinking.answer_of(trace)
    return values


def _trace_to_quote(key: Row) -> str | None:
    with statement() as connection:
        return connection.execute(Q["trace_to_quote"], key).scalar()


def _store_all(visits: list[tuple[Claim, Visit]]) -> list[bool]:
    """Store the answers of visits and nudge verifiers. For each visit: whether its question has all its traces."""
    keys = [(claim.job.id, claim.question_id) for claim, _ in visits]
    rows, logprobs, spent = _rows(visits)
    with transaction() as connection:
        if rows:
            connection.execute(Q["insert_traces"], {"rows": json.dumps(rows)})
        if logprobs:
            connection.execute(Q["insert_logprobs"], logprobs)
        for job_id, cost in sorted(spent.items()):
            connection.execute(Q["spend"], {"job_id": job_id, "spent": cost})
        lease = {"lease": settings().feeder.verify_lease_seconds}
        done = {tuple(row) for row in connection.execute(Q["generated"], _ids(keys) | lease)}
    for job_id in {job_id for job_id, _ in done}:
        questions = [question_id for job, question_id in keys if job == job_id and (job, question_id) in done]
        nudge_verifiers(job_id, questions, worker_job(job_id).policy)
    return [key in done for key in keys]


def _rows(visits: Sequence[tuple[Claim, Visit]]) -> tuple[list[Row], list[Row], dict[int, float]]:
    """The rows of `traces` and `trace_logprobs`, and the cost by job with a budget."""
    rows: list[Row] = []
    logprobs: list[Row] = []
    spent: dict[int, float] = {}
    for claim, visit in visits:
        job, method = claim.job, method_of(claim.job, "generate")
        key = {"job_id": job.id, "question_id": claim.question_id, "worker": owner()}
        for answer in visit.answers:
            rows.append(row := trace_row(answer, method, claim.kind) | key)
            if (top := answer.completion.logprobs) is not None:
                stored = {"top_k": job.sampling.logprobs, "tokens": len(top.chosen), "encoding": ENCODING}
                logprobs.append(row | stored | {"payload": encode(top)})
        if job.budget_unit:
            cost = visit.tokens if job.budget_unit == "tokens" else visit.cost
            spent[job.id] = spent.get(job.id, 0.0) + cost
    return rows, logprobs, spent


_store = batched(_store_all, max_items=64, wait=0.05)


def _release(claim: Claim, error: Exception, *, permanent: bool = False, counts: bool = True) -> None:
    message = f"{type(error).__name__}: {without_error_numbers(str(error))}"[:2000]
    log.warning("question %s of job %s: %s", claim.question_id, claim.job.id, message)
    row = {
        "job_id": claim.job.id,
        "question_id": claim.question_id,
        "owner": owner(),
        "error": storable(message),
        "permanent": permanent,
        "counts": counts,
        "max_attempts": settings().feeder.max_attempts,
    }
    patiently(lambda: _change("release", row))


@once
def heartbeat() -> Periodic:
    """The thread that renews the held claims, so that a lease ends only when nobody works on its question."""
    lease = settings().feeder.running_lease_seconds
    return Periodic("heartbeat", lease / 3, lambda: _renew(lease))


def _renew(lease: float) -> None:
    try:
        _change("renew", _ids(list(_held)) | {"owner": owner(), "lease": lease})
    except (SQLAlchemyError, TracemillError):  # Postgres is away: the next call tries again; a lost lease is harmless
        log.warning("could not renew the claims", exc_info=True)
