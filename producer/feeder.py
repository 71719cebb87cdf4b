"""The feeder: keeps a window of each model's questions in Redis, and takes back lost questions.

One step updates every active job. All state is in Postgres, so another feeder can continue after a crash. The leader
holds an advisory lock of Postgres; the other feeders stand by.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kombu.exceptions import BatchPublishError
from kombu.exceptions import OperationalError as BrokerAway
from redis import RedisError
from sqlalchemy import Connection, Row
from sqlalchemy.exc import OperationalError, ProgrammingError

from db.heartbeat import SILENT_SECONDS, present
from db.queries import Q
from db.session import engine, statement, transaction
from producer.shares import Job, rooms, window
from tracemill.celery import GENERATE, LOOP, TRAIN, app, nudge_verifiers, send
from tracemill.policy import Policy
from tracemill.queues import TRAIN_QUEUE, generate_queue
from tracemill.settings import FeederSettings, settings

log = logging.getLogger(__name__)

#: SQLSTATE of a table or column that does not exist, as during a downgrade and an upgrade.
SCHEMA_CHANGES = ("42P01", "42703")
#: Key of the advisory lock that the leader holds.
LEADER = 0x66656564


@dataclass
class Step:
    """The results of one step."""

    queued: int = 0
    taken_back: int = 0
    renudged: int = 0
    finished: int = 0


def step(limits: FeederSettings) -> Step:
    """Update every active job once, and take back what dead workers held of the others."""
    did = Step()
    with statement() as connection:
        jobs = {job.id: job for job in connection.execute(Q["active_jobs"])}
        halted = connection.execute(Q["halted_jobs"]).scalars().all()
    for job in jobs.values():
        _take_back(job, limits, did)
    for job_id in halted:
        with statement() as connection:
            _free(connection, job_id, limits, did)
    for demand, room in _rooms({job.model for job in jobs.values()}, limits):
        if demand.id in jobs:  # otherwise the job has just been opened
            _update(jobs[demand.id], demand, room, limits, did)
    _nudge_trainers()
    return did


def _take_back(job: Row[Any], limits: FeederSettings, did: Step) -> None:
    with transaction() as connection:
        _free(connection, job.id, limits, did)
        overdue = {"job_id": job.id, "lease": limits.verify_lease_seconds}
        late = connection.execute(Q["overdue_verifications"], overdue).all()
    if late:
        nudge_verifiers(job.id, [row.question_id for row in late], Policy.model_validate(job.policy))
        did.renudged += len(late)


def _free(connection: Connection, job_id: int, limits: FeederSettings, did: Step) -> None:
    lost = {"job_id": job_id, "max_attempts": limits.max_attempts}
    did.taken_back += len(connection.execute(Q["take_back"], lost).all())


def _rooms(models: set[str], limits: FeederSettings) -> Iterator[tuple[Row[Any], int]]:
    """Each active job of the models with its counts, and the number of questions that it may send."""
    if not models:
        return
    with statement() as connection:
        capacities = dict(map(tuple, connection.execute(Q["listening"], {"silent": SILENT_SECONDS})))
        windows = {
            model: window(int(capacities.get(generate_queue(model), 0)), len(models), limits.window) for model in models
        }
        demands = connection.execute(Q["demands"], {"most": max(windows.values())}).all()
    for model, width in windows.items():
        of_model = [row for row in demands if row.model == model]
        jobs = [
            Job(row.id, row.priority, row.in_flight, row.unverified, row.pending, not row.budget_in_use)
            for row in of_model
        ]
        room = rooms(jobs, width, limits.backlog)
        yield from ((row, room[row.id]) for row in of_model)


def _update(job: Row[Any], demand: Row[Any], room: int, limits: FeederSettings, did: Step) -> None:
    with transaction() as connection:
        # The rows are committed before the messages are sent. A message without its row would be refused. A row without
        # its message comes back when its lease runs out.
        queued = _queue(connection, job.id, room, limits.queued_lease_seconds) if room > 0 else []
        # Run `finish_job` only then, because with many questions Postgres may read all of them.
        settled = not (demand.pending or demand.in_flight or demand.unverified)
        finished = connection.execute(Q["finish_job"], {"job_id": job.id}).rowcount if settled else 0
        if demand.budget_in_use and not finished and connection.execute(Q["over_budget"], {"job_id": job.id}).rowcount:
            log.warning("job %s has spent its budget", job.id)
            connection.execute(Q["unqueue"], {"job_id": job.id, "question_ids": None})
    did.queued += _send(job.id, job.model, queued)
    did.finished += finished


def _queue(connection: Connection, job_id: int, room: int, lease: float) -> list[int]:
    rows = connection.execute(Q["queue"], {"job_id": job_id, "room": room, "lease": lease})
    return sorted(row.question_id for row in rows)


def _send(job_id: int, model: str, question_ids: list[int]) -> int:
    """Send one message for each question, many in a round trip. Returns the number sent.

    If Redis cannot be reached, all questions become pending again.
    """
    try:
        with app.producer_or_acquire() as producer, producer.batch():
            for question_id in question_ids:
                app.send_task(
                    GENERATE, args=[job_id, question_id], queue=generate_queue(model), producer=producer, retry=False
                )
    except (BrokerAway, BatchPublishError, RedisError) as error:
        log.warning("Redis cannot be reached, %d questions wait in Postgres: %s", len(question_ids), error)
        with transaction() as connection:
            # Some messages may have been sent. They are valid, because a worker can also claim a pending question.
            connection.execute(Q["unqueue"], {"job_id": job_id, "question_ids": question_ids})
        return 0
    return len(question_ids)


def _nudge_trainers() -> None:
    with transaction() as connection:
        rounds = connection.execute(Q["overdue_rounds"]).all()
        loops = connection.execute(Q["movable_loops"]).all()
    for row in rounds:
        send(TRAIN, [row.id], TRAIN_QUEUE)
    for row in loops:
        send(LOOP, [row.id], TRAIN_QUEUE)


def feed(stopped: Callable[[], bool]) -> None:
    """Run a feeder with a heartbeat until `stopped()`. Raises StackError if the schema is not this code's."""
    leading = threading.Event()
    with present("producer", leads=leading.is_set):
        lead(stopped, leading)


def lead(stopped: Callable[[], bool], leading: threading.Event) -> None:
    """Wait for the lead, then step until `stopped()`. It survives an absence of Postgres or Redis."""
    limits = settings().feeder
    while not stopped():
        try:
            with engine().connect() as connection:
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                # Detached from the pool, so that closing it releases the lock. A pooled connection would keep the lock.
                connection.detach()
                while (
                    not stopped()
                    and not connection.exec_driver_sql(f"select pg_try_advisory_lock({LEADER})").scalar_one()
                ):
                    time.sleep(1)
                if not stopped():
                    log.warning("this feeder leads")
                    leading.set()
                while not stopped():
                    connection.exec_driver_sql("select 1")  # without this connection the lock is lost
                    did = step(limits)
                    if not did.queued:
                        time.sleep(limits.interval_seconds)
        except OperationalError as error:
            log.warning("Postgres cannot be reached, trying again: %s", str(error.orig).splitlines()[0])
            time.sleep(limits.interval_seconds)
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) not in SCHEMA_CHANGES:
                raise
            log.warning("the schema is being migrated, trying again: %s", str(error.orig).splitlines()[0])
            time.sleep(limits.interval_seconds)
        finally:
            leading.clear()
