"""One step of a loop, run by a Celery task that carries only the loop's id.

A step is one transaction that locks the loop's row. It reads the state of the awaited job or round, opens the next job
or queues the next round, and moves the loop (`db/sql/loops.sql`). So a repeated task has one effect, and another
trainer continues after a crash. A step never waits: the trainer is free to train between two steps.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from db.jobs import JobSpec, stored_job
from db.queries import Q
from db.retry import is_away
from db.session import transaction
from producer.enqueue import analyse_if_large, copy_questions
from producer.opening import job_spec
from tracemill.celery import LOOP, app
from tracemill.errors import TracemillError, without_error_numbers
from tracemill.methods import named, prompts
from tracemill.policy import Policy
from trainer.loop import attempt_name, rationalize_name, round_name, round_of, score_name
from trainer.loop_steps import Decision, Snapshot, next_step
from trainer.loops import Loop, dev_shares, jobs_of, loop_of, results
from trainer.submit import nudge_trainer, store_round

log = logging.getLogger(__name__)


@app.task(name=LOOP)  # type: ignore[untyped-decorator]  # celery is not typed
def advance_loop(loop_id: int) -> None:
    """Make the loop's next step if the awaited job or round has ended."""
    make_step(loop_id)


def make_step(loop_id: int) -> None:
    """Make at most one step; an error in the step fails the loop.

    Returns at once when the loop does not run or another trainer makes the step. When Postgres is unreachable, the loop
    stays unchanged until the next task.
    """
    try:
        with transaction() as connection:
            row = connection.execute(Q["lock_loop"], {"loop_id": loop_id}).mappings().one_or_none()
            if row is None:
                log.info("loop %d does not run, or another trainer makes its step", loop_id)
                return
            loop = loop_of(row)
            after_commit = _make(connection, loop, next_step(_snapshot(connection, loop)))
        after_commit()
    except TracemillError as error:
        _fail(loop_id, str(error))
    except Exception as error:
        if is_away(error):
            raise
        _fail(loop_id, f"{type(error).__name__}: {without_error_numbers(str(error))}")
        raise


def _snapshot(connection: Connection, loop: Loop) -> Snapshot:
    query = "round_by_name" if loop.step == "train" else "job_by_name"
    awaited = connection.execute(Q[query], {"name": loop.awaits}).mappings().one_or_none()
    unsolved = connection.execute(Q["unsolved_questions"], {"job": attempt_name(loop.name, loop.round)})
    return Snapshot(
        spec=loop.spec,
        round=loop.round,
        step=loop.step,
        awaits=loop.awaits,
        awaited_state=awaited["state"] if awaited is not None else None,
        awaited_error=awaited.get("error") if awaited is not None else None,
        n_unsolved=unsolved.scalar_one(),
        dev=dev_shares(results(connection, loop)),
    )


def _make(connection: Connection, loop: Loop, decision: Decision) -> Callable[[], None]:
    """Carry out a decision; return the work to do after the commit."""
    match decision.move:
        case "attempt":
            return _attempt(connection, loop)
        case "rationalize":
            return _rationalize(connection, loop)
        case "score":
            return _score(connection, loop)
        case "train":
            return _train(connection, loop)
        case "end":
            _move(connection, loop, "loop_done", ended=decision.reason)
        case "fail":
            connection.execute(Q["loop_failed"], {"loop_id": loop.id, "error": decision.reason})
    return lambda: None


def _attempt(connection: Connection, loop: Loop) -> Callable[[], None]:
    """Ask the model of the finished round the questions of the first attempt, with its evaluation's prompt."""
    number = loop.round + 1
    first = attempt_name(loop.name, 1)
    spec = stored_job(connection, first)
    if spec is None:
        raise TracemillError(f"job {first} no longer exists, so its questions cannot be asked again")
    again = replace(
        spec,
        name=attempt_name(loop.name, number),
        prompts=prompts(named("cot"), ()),
        round_id=_round_id(connection, loop, loop.round),
    )
    return _open(connection, loop, again, first, None, "loop_attempts")


def _rationalize(connection: Connection, loop: Loop) -> Callable[[], None]:
    """Ask the failed questions of the attempt again, with the gold answer as a hint."""
    assert loop.spec.rationalize is not None
    failed = attempt_name(loop.name, loop.round)
    changes = loop.spec.rationalize.model_dump(exclude_none=True) | {"source": f"job:{failed}?failed", "limit": 0}
    ask = loop.spec.attempt.model_copy(update=changes)
    # No round trains on prompts with a hint, so the examples show the form of the answer in every round.
    request = ask.request(rationalize_name(loop.name, loop.round), loop.spec.student, "rationalize", loop.shots)
    model = _round_id(connection, loop, loop.round - 1) if loop.round > 1 else None
    return _open(connection, loop, job_spec(replace(request, round_id=model)), failed, False, "loop_rationalizes")


def _score(connection: Connection, loop: Loop) -> Callable[[], None]:
    """Let the objective's teacher score every token of the attempts."""
    scorer = loop.spec.scorer
    assert scorer is not None
    attempted = attempt_name(loop.name, loop.round)
    ask = loop.spec.attempt.model_copy(update={"source": f"job:{attempted}", "limit": 0, "policy": Policy()})
    request = ask.request(score_name(loop.name, loop.round), scorer.model, scorer.method, loop.shots)
    spec = job_spec(replace(request, purpose="round", logprobs=scorer.top_k))
    return _open(connection, loop, replace(spec, scores=scorer.of), attempted, None, "loop_scores")


def _open(
    connection: Connection, loop: Loop, spec: JobSpec, questions_of: str, accepted: bool | None, move: str
) -> Callable[[], None]:
    job_id = connection.execute(Q["job_by_name"], {"name": questions_of}).one().id
    stored = copy_questions(connection, spec, job_id, accepted=accepted)
    _move(connection, loop, move, awaits=spec.name)
    return lambda: analyse_if_large(stored)


def _train(connection: Connection, loop: Loop) -> Callable[[], None]:
    """Queue the round that learns from all jobs of the loop so far."""
    spec = round_of(loop.spec, loop.round, jobs_of(connection, loop), f"loop '{loop.name}'")
    round_id = store_round(connection, spec)
    _move(connection, loop, "loop_trains", awaits=spec.name)
    return lambda: nudge_trainer(round_id)


def _round_id(connection: Connection, loop: Loop, number: int) -> int:
    return int(connection.execute(Q["round_by_name"], {"name": round_name(loop.name, number)}).one().id)


def _move(connection: Connection, loop: Loop, name: str, **values: str) -> None:
    """Run one guarded statement; raise if it changed no row, so that the whole step rolls back.

    The row is locked, so the guard should always match.
    """
    moved = connection.execute(Q[name], {"loop_id": loop.id, "round": loop.round, **values}).rowcount
    if moved != 1:
        raise TracemillError(f"loop {loop.name} was moved by another process during a step")


def _fail(loop_id: int, error: str) -> None:
    with transaction() as connection:
        connection.execute(Q["loop_failed"], {"loop_id": loop_id, "error": error})
