"""Ratings of traces by the engine of a running worker, for `tracemill calibrate`.

`ask_workers` sends the traces in small messages to a queue of the judge's workers, at most a window of them at a time.
The task `rate` asks the judge and pushes its replies to a list in Redis, which belongs to this call. Nothing is stored
in Postgres: when a worker ends meanwhile, the call fails. Its caller keeps the replies that it had until then.
"""

import json
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from db.heartbeat import SILENT_SECONDS
from db.queries import Q
from db.session import statement
from tracemill.celery import RATE, app, commands, send
from tracemill.engines.registry import answered
from tracemill.errors import AliasRefused, EngineAway, EngineDead, EngineError, StackError, TracemillError
from tracemill.policy import Signal
from tracemill.queues import generate_queue, verify_queue
from tracemill.settings import model
from tracemill.verification.judge import Case, Judged
from tracemill.verification.judge.bounded import Progress, Request
from workers.judging import judge_of
from workers.shutdown import engine_died

log = logging.getLogger(__name__)

#: Traces in one message. More would show progress less often; fewer would leave the engine of a verify worker idle.
TRACES_A_MESSAGE = 4
#: Seconds between two looks at the workers while no reply comes.
POLL_SECONDS = 5
#: Seconds after which Redis deletes replies that nobody reads.
KEPT_SECONDS = 3600


class Workers(NamedTuple):
    """The live workers that serve an alias, and their queue."""

    queue: str
    #: Their names.
    names: frozenset[str]
    #: Tasks that they run at a time; 0 while they load the model.
    concurrency: int


def workers_of(alias: str) -> Workers | None:
    """The workers that serve this alias; None if none of them runs.

    Raises StackError without a database.
    """
    for queue in (verify_queue(alias), generate_queue(alias)):
        with statement() as connection:
            rows = connection.execute(Q["serving"], {"queue": queue, "silent": SILENT_SECONDS}).all()
        if rows:
            return Workers(queue, frozenset(row.name for row in rows), sum(row.concurrency for row in rows))
    return None


def ask_workers(
    workers: Workers, alias: str, cases: Sequence[Case], signals: Sequence[Signal], progress: Progress
) -> list[Judged]:
    """The judge's signals of each case, in order, from the engine of a running worker.

    `progress` takes each reply. Raises EngineError when the judge cannot be asked, and StackError when a
    worker ends meanwhile or Redis cannot be reached.
    """
    batches = [
        range(start, min(start + TRACES_A_MESSAGE, len(cases))) for start in range(0, len(cases), TRACES_A_MESSAGE)
    ]
    judged: dict[int, Judged] = {}
    reply_list = f"tracemill.ratings.{uuid.uuid4().hex}"
    waiting = iter(batches)
    window = max(1, workers.concurrency // TRACES_A_MESSAGE)

    def send_next() -> None:
        if (batch := next(waiting, None)) is not None:
            traces = {index: asdict(cases[index]) for index in batch}
            if not send(RATE, [alias, model(alias).model, traces, list(signals), reply_list], workers.queue):
                raise StackError("cannot reach Redis. `tracemill up` starts it.")

    try:
        for _ in range(window):
            send_next()
        while len(judged) < len(cases):
            replies = _next_reply(workers, alias, reply_list)
            judged |= replies
            for index, reply in replies.items():
                progress(index, reply)
            send_next()
    finally:
        with commands() as redis:
            redis.delete(reply_list)
    return [judged[index] for index in range(len(cases))]


def _next_reply(workers: Workers, alias: str, reply_list: str) -> dict[int, Judged]:
    """Wait for one reply: the signals by the index of the case."""
    limit = 2 * model(alias).timeout_seconds
    deadline = time.monotonic() + limit
    while (popped := _pop(reply_list)) is None:
        alive = workers_of(alias)
        ended = workers.names - (alive.names if alive else frozenset())
        if ended:
            raise StackError(
                f"the worker {min(ended)} ended before it rated every trace: run the same command again, it continues"
            )
        if time.monotonic() > deadline:
            raise EngineError(
                f"the workers that serve {alias} gave no rating for {limit:.0f} s: see `tracemill health`"
            )
    assert isinstance(popped, list | tuple)
    reply = json.loads(popped[1])
    if "error" in reply:
        raise EngineError(reply["error"])
    return {int(index): Judged(**judged) for index, judged in reply.items()}


def _pop(reply_list: str) -> Any:
    with commands() as redis:
        return redis.blpop([reply_list], POLL_SECONDS)


@app.task(name=RATE)  # type: ignore[untyped-decorator]  # celery is not typed
def rate(
    alias: str, model_name: str, traces: dict[str, dict[str, Any]], signals: list[Signal], reply_list: str
) -> None:
    """Rate some traces with this worker's engine, and push the replies to a list in Redis."""
    try:
        replies = _rate(alias, model_name, traces, signals)
    except AliasRefused as error:
        _reply(reply_list, {"error": str(error)})
    except EngineDead as error:
        _reply(reply_list, {"error": str(error)})
        engine_died(error)
    except TracemillError as error:
        _reply(reply_list, {"error": str(error)})
    except Exception as error:
        _reply(reply_list, {"error": f"the worker failed: {type(error).__name__}: {error}"})
        raise
    else:
        _reply(reply_list, {index: {"scores": r.scores, "error": r.error} for index, r in replies.items()})


def _rate(
    alias: str, model_name: str, traces: dict[str, dict[str, Any]], signals: Sequence[Signal]
) -> dict[str, Judged]:
    if model(alias).model != model_name:
        raise EngineError(
            f"the running worker serves {model(alias).model} as {alias}, and the settings now name {model_name}: "
            "restart the worker"
        )
    judge = judge_of(alias)
    replies = judge.ask([Request(Case(**case), signals) for case in traces.values()])
    away = next((reply.away for reply in replies if reply and reply.away), None)
    answered(alias, away)
    if away is not None:
        raise EngineAway(str(away))
    return {index: reply for index, reply in zip(traces, replies, strict=True) if reply is not None}


def _reply(reply_list: str, reply: dict[str, Any]) -> None:
    with commands() as redis, redis.pipeline() as pipeline:
        pipeline.rpush(reply_list, json.dumps(reply))
        pipeline.expire(reply_list, KEPT_SECONDS)
        pipeline.execute()
