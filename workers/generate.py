"""The generate task: claim a question, ask for the samples that are missing, store them, nudge the verifier.

The claim is a lease in Postgres, renewed while this worker lives (`heartbeat`). Nothing is held open while the model
thinks. A task that runs twice finds its question claimed, or its samples there, and does nothing.
"""

import json
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
from tracemill.once import once
from tracemill.prompts import render
from tracemill.settings import settings
from tracemill.text import storable
from workers.engines import Generation
from workers.job import WorkerJob, worker_job
from workers.loop import run
from workers.methods import named
from workers.running import end_worker, engine

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
    """A question that this worker may answer, and the sample numbers that are there already."""

    job: WorkerJob
    question_id: int
    question: str
    have: frozenset[int]

    @property
    def missing(self) -> list[int]:
        """The sample numbers to ask for."""
        return [number for number in range(self.job.samples) if number not in self.have]


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
    came = 0
    try:
        if claim.missing:
            came = _store(claim, _ask(claim))
        complete = _generated(claim)
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
            too_few = TracemillError(f"the engine gave {came} samples of {len(claim.missing)}")
            _release(claim, too_few, counts=came == 0)


def _claim(job_id: int, question_id: int) -> Claim | None:
    job = worker_job(job_id)
    heartbeat()
    with transaction() as connection:
        row = connection.execute(
            Q["claim"],
            {
                "job_id": job_id,
                "question_id": question_id,
                "owner": owner(),
                "lease": settings().feeder.running_lease_seconds,
            },
        ).one_or_none()
    return None if row is None else Claim(job, question_id, row.question, frozenset(row.have))


def _ask(claim: Claim) -> Generation:
    job = claim.job
    messages = render(job.prompt, {"question": claim.question})
    return run(engine(job.model).generate(messages, len(claim.missing), job.sampling, job.adapter))


def _store(claim: Claim, generation: Generation) -> int:
    """Store the samples; how many there were."""
    method = named(claim.job.method)
    rows: list[dict[str, Any]] = []
    for number, completion in zip(claim.missing, generation.completions, strict=False):
        text = storable(completion.text)
        parsed = method.parse(text)
        rows.append(
            {
                "job_id": claim.job.id,
                "question_id": claim.question_id,
                "variant": "",
                "sample_index": number,
                "prompt_hash": claim.job.prompt.hash,
                "text": text,
                "reasoning": parsed.reasoning,
                "answer": parsed.answer,
                "answer_form": parsed.answer_form,
                "steps": json.dumps(parsed.steps),
                "tokens_in": generation.tokens_in,
                "tokens_out": completion.tokens,
                "finish_reason": completion.finish_reason,
                "latency_seconds": generation.seconds,
                "worker": owner(),
            }
        )
    if rows:
        with transaction() as connection:
            connection.execute(Q["insert_trace"], rows)
    return len(rows)


def _generated(claim: Claim) -> bool:
    key = {"job_id": claim.job.id, "question_id": claim.question_id}
    with transaction() as connection:
        return connection.execute(Q["generated"], key | {"lease": settings().feeder.verify_lease_seconds}).rowcount == 1


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
        except SQLAlchemyError:  # Postgres is away: the next beat tries again, and a lost lease does no harm
            log.warning("could not renew the claims", exc_info=True)
