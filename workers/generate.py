"""The generate task: claim questions, request their missing samples, store them, nudge the verifier.

The claim names this process, and lasts as long as its heartbeats. No transaction is open while the model works.
A task that runs twice does nothing the second time: its question is claimed, or its samples exist.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias
from uuid import uuid4

from sqlalchemy import Row as SqlRow

from db import pauses
from db.queries import Q
from db.retry import patiently
from db.session import statement, transaction
from tracemill import thinking
from tracemill.celery import GENERATE, app, nudge_verifiers
from tracemill.concurrency import batched, once
from tracemill.engines.registry import answered, engine
from tracemill.errors import (
    AliasRefused,
    EngineDead,
    EngineError,
    RequestRefused,
    TracemillError,
    UnknownMethod,
    without_error_numbers,
)
from tracemill.event_loop import run
from tracemill.logprobs import ENCODING, encode
from tracemill.settings import model, settings
from tracemill.text import storable
from tracemill.verification.answers.kinds import Kind, guess
from workers import cancellation, outages
from workers.claims import ClaimKey, columns, held, holding, owner
from workers.job import Chains, WorkerJob, method_of, worker_job
from workers.outages import Occupant, Work
from workers.pause import is_paused
from workers.room import rooms_of, visiting
from workers.scoring import stored_samples
from workers.shutdown import at_the_end, draining, engine_died
from workers.spending import Shortage, charge_lost, pay, payment, reserve, take_from_slice
from workers.traces import trace_row
from workers.visit import Sampler, Slot, Visit, slots

log = logging.getLogger(__name__)

Row: TypeAlias = dict[str, Any]

#: Threads for the further questions of messages. Messages hold several questions only where answers take little time.
MAX_THREADS = 256
#: The longest wait before another visit while an engine is away, in seconds.
LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Claim:
    """A question that this worker may answer, and its missing traces."""

    key: ClaimKey
    job: WorkerJob
    question: str
    gold: str | None
    kind: Kind
    chains: Chains
    missing: tuple[Slot, ...]
    #: Engines in a row that died with this question in them.
    deaths: int
    #: Its model is paused, and an answer ends the pause.
    is_trial: bool

    @property
    def question_id(self) -> int:
        return self.key.question_id


@once
def _threads() -> ThreadPoolExecutor:
    """The threads for the further questions of a message."""
    return ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="question")


@app.task(name=GENERATE)  # type: ignore[untyped-decorator]
def generate(job_id: int, question_ids: list[int]) -> None:
    """Answer some questions of one job, all at once."""
    first, *others = question_ids
    answering = [_threads().submit(_answer, job_id, question_id) for question_id in others]
    try:
        _answer(job_id, first)
    finally:
        wait(answering)
    for answer in answering:
        answer.result()


def _answer(job_id: int, question_id: int) -> None:
    with _claim_room(job_id) as has_room:
        if not has_room:
            _unqueue(job_id, question_id)
            return
        # The id is made here, so that a claim whose reply was lost is repeated and not refused.
        key = ClaimKey(job_id, question_id, uuid4())
        with holding([key]):
            claim = patiently(lambda: _claim(key))
            if claim is not None:
                _visit(claim)


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
            if claim.is_trial and not isinstance(visit.error, AliasRefused):
                pauses.resume([claim.job.model])
        complete = _store((claim, visit))
        if visit.error is not None and not complete:
            raise visit.error
    except AliasRefused as error:
        outages.pause(claim.job.model, error)
        _release(claim, error, counts=False)
    except EngineDead as error:
        engine_died(error, partial(outages.count_death, engine(claim.job.model), error))
    except EngineError as error:
        if outages.is_to_blame(error, claim.job.model):
            _release(claim, error, permanent=isinstance(error, RequestRefused))
        else:
            answered(claim.job.model, error)
            _put_off(claim, error)
    except UnknownMethod as error:
        _put_off(claim, error)
    except TracemillError as error:
        _release(claim, error)
    except Exception as error:
        _release(claim, error)
        raise
    else:
        if visit.is_aborted and not complete:
            patiently(lambda: _give_back([claim.key]))
        elif not complete:
            # Some servers return one sample whatever n is: a visit with any answer is no failure.
            n_answers = len(visit.answers)
            too_few = TracemillError(f"the engine gave {n_answers} samples of {len(claim.missing)}")
            _release(claim, too_few, counts=n_answers == 0)


def _claim(key: ClaimKey) -> Claim | None:
    cancellation.watcher()
    worker_job(key.job_id)  # raises the problems of this job alone
    return _claim_batched(key)


def claim_all(keys: Sequence[ClaimKey], worker: str) -> list[Claim | None]:
    """Claim questions for a worker. Of two messages about one question one gets the claim."""
    claims: dict[ClaimKey, Claim] = {}
    budgeted: dict[int, list[ClaimKey]] = {}
    for key in keys:
        if worker_job(key.job_id).budget_unit is not None:
            budgeted.setdefault(key.job_id, []).append(key)
    if free := [key for key in keys if key.job_id not in budgeted]:
        with statement() as connection:
            rows = connection.execute(Q["claim"], _claimants(free, worker, [0.0] * len(free))).all()
        claims |= {claim.key: claim for claim in map(_claim_of, rows)}
    for job_id, of_job in budgeted.items():
        claims |= _claim_within_budget(worker_job(job_id), of_job, worker)
    return [claims.get(key) for key in keys]


def _claim_within_budget(job: WorkerJob, keys: Sequence[ClaimKey], worker: str) -> dict[ClaimKey, Claim]:
    with transaction() as connection:
        questions = {"job_id": job.id, "question_ids": [key.question_id for key in keys]}
        shortages = {row.question_id: Shortage(*row) for row in connection.execute(Q["shortages"], questions)}
        keys = [key for key in keys if key.question_id in shortages]
        reserved = [reserve(job, shortages[key.question_id]) for key in keys]
        if take_from_slice(connection, job, worker, sum(reserved)):
            claimants = [_claimants(keys, worker, reserved, is_covered=True)]
        else:
            claimants = [_claimants([key], worker, [cost]) for key, cost in zip(keys, reserved, strict=True)]
        rows = [row for each in claimants for row in connection.execute(Q["claim"], each)]
        # Other visits may hold the rest of the budget: the feeder sends these questions again.
        if refused := {key.question_id for key in keys} - {row.question_id for row in rows}:
            connection.execute(Q["unqueue"], {"job_id": job.id, "question_ids": list(refused)})
    # Another visit may have been settled since. This one asks for no more samples than it has reserved.
    return {
        claim.key: replace(claim, missing=claim.missing[: shortages[claim.question_id].missing])
        for claim in map(_claim_of, rows)
    }


def _unqueue(job_id: int, question_id: int) -> None:
    _change("unqueue", {"job_id": job_id, "question_ids": [question_id]})


@at_the_end
def _give_back_all() -> None:
    keys = list(held)
    under_way = [key for key in keys if outages.is_inside(Occupant(Work.visit, *key))]
    with transaction() as connection:
        charge_lost(connection, columns(under_way))
        connection.execute(Q["hand_back"], columns(keys))


def _give_back(keys: Sequence[ClaimKey]) -> None:
    _change("hand_back", columns(keys))


def _change(query: str, row: Row) -> None:
    with statement() as connection:
        connection.execute(Q[query], row)


def _claimants(keys: Sequence[ClaimKey], worker: str, reserved: list[float], is_covered: bool = False) -> Row:
    return columns(keys) | {"owner": worker, "reserved": reserved, "is_covered": is_covered}


def _claim_of(row: SqlRow[Any]) -> Claim:
    """The claim of a row. It may read the job, so the caller holds no connection."""
    job = worker_job(row.job_id)
    chains = job.chains(row.domain)
    have = {Slot(*pair) for pair in row.have}
    return Claim(
        ClaimKey(row.job_id, row.question_id, row.claim_id),
        job,
        row.question,
        row.gold,
        row.kind or guess(row.gold, row.question),
        chains,
        tuple(slot for slot in slots(chains, row.wanted) if slot not in have),
        row.deaths,
        row.is_trial,
    )


_claim_batched: batched[ClaimKey, Claim | None] = batched(
    lambda keys: claim_all(keys, owner()), max_items=64, wait=0.03
)


def _ask(claim: Claim) -> Visit:
    job = claim.job
    running = engine(job.model)
    sampler = Sampler(running, model(job.model), job.sampling, job.adapter)
    values = _values(claim)

    visit = Visit()

    samples = stored_samples(job, claim.question_id, claim.missing) if job.scores is not None else None

    async def ask() -> None:
        if samples is None:
            await sampler.visit(claim.chains, claim.missing, values, visit)
        else:
            await sampler.score(claim.chains, samples, values, visit)

    occupant = [Occupant(Work.visit, *claim.key)]
    with visiting(running, len(claim.missing), claim.deaths, is_paused) as has_room:
        if not has_room:
            visit.is_aborted = True
            return visit
        outages.enter(running, occupant)
        try:
            run(cancellation.unless_cancelled(job.id, ask()))
        except cancellation.JobCancelled:
            visit.is_aborted = True
        finally:
            outages.leave(running, occupant, visit.error)
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


def store_all(visits: Sequence[tuple[Claim, Visit]], worker: str) -> list[bool]:
    """Store a worker's answers and nudge verifiers. For each visit: whether its question has all its traces."""
    done = patiently(lambda: _commit(visits, worker))
    # Outside of the repeated part: what is stored is not stored again for a message.
    for job_id in {job_id for job_id, _ in done}:
        questions = sorted(question_id for job, question_id in done if job == job_id)
        try:
            nudge_verifiers(job_id, questions, worker_job(job_id).policy)
        except Exception:  # the feeder nudges when the lease runs out
            log.exception("could not nudge the verifiers of job %s", job_id)
    return [(claim.key.job_id, claim.key.question_id) in done for claim, _ in visits]


def _commit(visits: Sequence[tuple[Claim, Visit]], worker: str) -> set[tuple[int, int]]:
    """Store the answers and the costs of visits; the questions (job, question) that have all their traces now."""
    rows, logprobs = _rows(visits, worker)
    with transaction() as connection:
        if rows:
            connection.execute(Q["insert_model"], _models({claim.job.model for claim, _ in visits}))
            connection.execute(Q["insert_traces"], {"rows": json.dumps(rows)})
        if logprobs:
            connection.execute(Q["insert_logprobs"], logprobs)
        pay(
            connection,
            [payment(claim.key.claim_id, claim.job, visit) for claim, visit in visits if claim.job.budget_unit],
        )
        keys = columns([claim.key for claim, _ in visits])
        lease = {"lease": settings().feeder.verify_lease_seconds}
        return {tuple(row) for row in connection.execute(Q["generated"], keys | lease)}


def _models(aliases: Iterable[str]) -> list[Row]:
    """The rows of `models`. Sorted, so that two workers lock them in the same order."""
    models = {model(alias).hash: model(alias) for alias in aliases}
    return [{"hash": key, "settings": json.dumps(models[key].of_answers)} for key in sorted(models)]


def _rows(visits: Sequence[tuple[Claim, Visit]], worker: str) -> tuple[list[Row], list[Row]]:
    """The rows of `traces` and `trace_logprobs`."""
    rows: list[Row] = []
    logprobs: list[Row] = []
    for claim, visit in visits:
        job, method = claim.job, method_of(claim.job, "generate")
        key = {"job_id": job.id, "question_id": claim.question_id, "worker": worker}
        for answer in visit.answers:
            row = trace_row(answer, method, claim.kind) | key | {"model_hash": model(job.model).hash}
            rows.append(row)
            if (top := answer.completion.logprobs) is not None:
                stored = {"top_k": job.sampling.logprobs, "tokens": len(top.chosen), "encoding": ENCODING}
                logprobs.append(row | stored | {"payload": encode(top)})
    return rows, logprobs


_store: batched[tuple[Claim, Visit], bool] = batched(lambda visits: store_all(visits, owner()), max_items=64, wait=0.05)


def _release(claim: Claim, error: Exception, *, permanent: bool = False, counts: bool = True) -> None:
    limits = {"permanent": permanent, "counts": counts, "max_attempts": settings().feeder.max_attempts}
    _end_claim("release", claim, error, limits)


def _put_off(claim: Claim, error: Exception) -> None:
    _end_claim("put_off", claim, error, {"longest": LONGEST_WAIT})


def _end_claim(query: str, claim: Claim, error: Exception, values: Row) -> None:
    message = f"{type(error).__name__}: {without_error_numbers(str(error))}"[:2000]
    log.warning("question %s of job %s: %s", claim.question_id, claim.job.id, message)
    key = claim.key._asdict() | {"error": storable(message)}
    patiently(lambda: _change(query, key | values))
