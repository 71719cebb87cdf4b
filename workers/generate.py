"""The generate task: claim a question, ask for the samples that are missing, store them, nudge the verifier.

The claim is a lease in Postgres, renewed while this worker lives (`heartbeat`). Nothing is held open while the model
thinks. A task that runs twice finds its question claimed, or its samples there, and does nothing.
"""

import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.session import transaction
from tracemill.celery import GENERATE, app, nudge_verifier
from tracemill.errors import EngineAway, EngineDead, RequestRefused, TracemillError
from tracemill.logprobs import ENCODING, encode
from tracemill.once import once
from tracemill.settings import model, settings
from tracemill.text import storable
from workers.checks.kinds import Kind, guess
from workers.job import Chains, WorkerJob, worker_job
from workers.loop import run
from workers.methods import named
from workers.running import end_worker, engine
from workers.traces import trace_row
from workers.visit import Asking, Slot, Visit, most_tokens, slots

log = logging.getLogger(__name__)

#: What this process is answering right now, as (job, question): the claims that are renewed. A claim that could not be
#: given back because Postgres was away is not among them, so its lease runs out.
_held: set[tuple[int, int]] = set()


@once
def owner() -> str:
    """This process's name on the claims it holds; unique, so a restarted worker never takes over old claims."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Claim:
    """A question that this worker may answer, and the traces that it lacks."""

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
    claim = _claim(job_id, question_id)
    if claim is None:
        return
    _held.add((job_id, question_id))
    try:
        _visit(claim)
    finally:
        _held.discard((job_id, question_id))


def _visit(claim: Claim) -> None:
    visit = Visit()
    try:
        if claim.missing:
            visit = _ask(claim)
        complete = _store(claim, visit)
        if visit.error is not None and not complete:
            raise visit.error
    except EngineDead as error:
        _release(claim, error, counts=False)
        end_worker(error)
    except TracemillError as error:
        _release(claim, error, permanent=isinstance(error, RequestRefused), counts=not isinstance(error, EngineAway))
    except Exception as error:
        _release(claim, error)
        raise
    else:
        if complete:
            nudge_verifier(claim.job.id, claim.question_id, claim.job.policy)
        else:
            # Some servers give one sample however many are asked for: a visit that brought any is no failure.
            came = len(visit.answers)
            too_few = TracemillError(f"the engine gave {came} samples of {len(claim.missing)}")
            _release(claim, too_few, counts=came == 0)


def _claim(job_id: int, question_id: int) -> Claim | None:
    job = worker_job(job_id)
    heartbeat()
    key = {"job_id": job_id, "question_id": question_id}
    with transaction() as connection:
        reserved = _most(job, connection.execute(Q["lock_job"], key).one_or_none()) if job.budget_unit else 0.0
        lease = {"owner": owner(), "lease": settings().feeder.running_lease_seconds, "reserved": reserved}
        row = connection.execute(Q["claim"], key | lease).one_or_none()
        if row is None:
            if job.budget_unit:  # what is left of the budget may be held by others: the feeder sends it again
                connection.execute(Q["unqueue"], {"job_id": job_id, "question_ids": [question_id]})
            return None
    chains = job.chains(row.domain)
    have = {Slot(*pair) for pair in row.have}
    missing = tuple(slot for slot in slots(chains, row.wanted) if slot not in have)
    kind = row.kind or guess(row.gold, row.question)
    return Claim(job, question_id, row.question, row.gold, kind, chains, missing)


def _most(job: WorkerJob, row: Any) -> float:
    """The most that a visit may cost, in the unit of the job's budget."""
    if row is None:
        return 0.0
    tokens = max(
        most_tokens(chains, row.missing, row.chars, job.sampling.max_tokens) for chains in job.prompts.values()
    )
    prices = model(job.model)
    return tokens if job.budget_unit == "tokens" else tokens * max(prices.price_in, prices.price_out) / 1e6


def _ask(claim: Claim) -> Visit:
    job = claim.job
    asking = Asking(engine(job.model), model(job.model), job.sampling, job.adapter)
    return run(asking.visit(claim.chains, claim.missing, _values(claim)))


def _values(claim: Claim) -> dict[str, str]:
    """What the slots of the templates hold. Raises RequestRefused where the question lacks something for good."""
    job = claim.job
    values = {"question": claim.question}
    needs = named(job.method).needs
    if "gold" in needs:
        if claim.gold is None:
            raise RequestRefused(f"method {job.method} needs a gold answer, and this question has none")
        values["gold"] = claim.gold
    if "trace" in needs:
        key = {"from_job_id": job.from_job_id, "question_id": claim.question_id}
        with transaction() as connection:
            trace = connection.execute(Q["trace_to_quote"], key).scalar()
        if trace is None:
            raise RequestRefused(f"method {job.method} needs a trace to quote, and the job it builds on has none here")
        values["trace"] = trace
    return values


def _store(claim: Claim, visit: Visit) -> bool:
    """Store what a visit brought; whether the question has all its traces now."""
    job, key = claim.job, {"job_id": claim.job.id, "question_id": claim.question_id}
    rows = [trace_row(answer, named(job.method), claim.kind) | key | {"worker": owner()} for answer in visit.answers]
    logprobs = [
        row | {"top_k": job.sampling.logprobs, "tokens": len(top.chosen), "encoding": ENCODING, "payload": encode(top)}
        for row, answer in zip(rows, visit.answers, strict=True)
        if (top := answer.completion.logprobs) is not None
    ]
    with transaction() as connection:
        if rows:
            connection.execute(Q["insert_trace"], rows)
        if logprobs:
            connection.execute(Q["insert_logprobs"], logprobs)
        if job.budget_unit:
            spent = visit.tokens if job.budget_unit == "tokens" else visit.cost
            connection.execute(Q["spend"], {"job_id": job.id, "spent": spent})
        lease = settings().feeder.verify_lease_seconds
        return connection.execute(Q["generated"], key | {"lease": lease}).rowcount == 1


def _release(claim: Claim, error: Exception, *, permanent: bool = False, counts: bool = True) -> None:
    message = f"{type(error).__name__}: {error}"[:2000]
    log.warning("question %s of job %s: %s", claim.question_id, claim.job.id, message)
    with transaction() as connection:
        connection.execute(
            Q["release"],
            {
                "job_id": claim.job.id,
                "question_id": claim.question_id,
                "owner": owner(),
                "error": storable(message),
                "permanent": permanent,
                "counts": counts,
                "max_attempts": settings().feeder.max_attempts,
            },
        )


@once
def heartbeat() -> threading.Thread:
    """The thread that renews the claims in hand, so that a lease only runs out when nobody works on its question."""
    thread = threading.Thread(target=_renew, name="tracemill-heartbeat", daemon=True)
    thread.start()
    return thread


def _renew() -> None:
    lease = settings().feeder.running_lease_seconds
    while True:
        time.sleep(lease / 3)
        held = list(_held)
        row = {"job_ids": [job for job, _ in held], "question_ids": [question for _, question in held]}
        try:
            with transaction() as connection:
                connection.execute(Q["renew"], row | {"owner": owner(), "lease": lease})
        except (
            SQLAlchemyError,
            TracemillError,
        ):  # Postgres is away: the next beat tries again; a lost lease is harmless
            log.warning("could not renew the claims", exc_info=True)
