"""The feeder: keeps a window of each model's questions in Redis, and takes back lost questions.

One step updates every active job. All state is in Postgres, so another feeder can continue after a crash. One feeder
leads (`producer.leader`); the others stand by.

While Postgres was away or no feeder led, workers could not renew their leases. So nothing is taken back until a feeder
has led for the duration of a lease without losing Postgres.
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
from sqlalchemy.exc import SQLAlchemyError

from db.heartbeat import SILENT_SECONDS, present
from db.queries import Q
from db.retry import is_away, reason, sqlstate
from db.session import statement
from producer.leader import Lead, LeadLost, take_lead
from producer.shares import Job, rooms, window
from tracemill.celery import GENERATE, LOOP, TRAIN, app, nudge_verifiers, send
from tracemill.policy import Policy
from tracemill.processes import unique_name
from tracemill.queues import TRAIN_QUEUE, generate_queue
from tracemill.settings import FeederSettings, settings

log = logging.getLogger(__name__)

#: SQLSTATE of a table or column that does not exist, as during a downgrade and an upgrade.
SCHEMA_CHANGES = ("42P01", "42703")
#: Seconds between two attempts of a feeder on standby to lead.
STANDBY_SECONDS = 1.0


@dataclass
class Step:
    """The results of one step."""

    queued: int = 0
    taken_back: int = 0
    renudged: int = 0
    finished: int = 0


def step(limits: FeederSettings, lead: Lead) -> Step:
    """Update every active job once, and take back what dead workers held of all jobs. Raises LeadLost."""
    did = Step()
    takes_back = lead.held_seconds() >= limits.running_lease_seconds
    with statement() as connection:
        jobs = {job.id: job for job in connection.execute(Q["active_jobs"])}
        halted = connection.execute(Q["halted_jobs"]).scalars().all()
    if takes_back:
        for job in jobs.values():
            _take_back(job, limits, lead, did)
    for job_id in halted:
        with lead.transaction() as connection:
            # A step that began before the job was halted may have queued more of its questions.
            connection.execute(Q["unqueue"], {"job_id": job_id, "question_ids": None})
            if takes_back:
                _free(connection, job_id, limits, did)
    for demand, room in _rooms({job.model for job in jobs.values()}, limits):
        if demand.id in jobs:  # otherwise the job has just been opened
            _update(jobs[demand.id], demand, room, limits, lead, did)
    _nudge_trainers(lead)
    return did


def _take_back(job: Row[Any], limits: FeederSettings, lead: Lead, did: Step) -> None:
    with lead.transaction() as connection:
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
        pauses = {row.alias: row.is_trial_due for row in connection.execute(Q["model_pauses"])}
        if pauses:
            connection.execute(Q["unqueue_paused"])
        windows = {
            # A paused model gets one question when its trial is due.
            model: int(pauses[model])
            if model in pauses
            else window(int(capacities.get(generate_queue(model), 0)), len(models), limits.window)
            for model in models
        }
        demands = connection.execute(Q["demands"], {"most": max(*windows.values(), 1)}).all()
    for model, width in windows.items():
        of_model = [row for row in demands if row.model == model]
        jobs = [
            Job(row.id, row.priority, row.in_flight, row.unverified, row.pending, not row.budget_in_use)
            for row in of_model
        ]
        room = rooms(jobs, width, limits.backlog)
        yield from ((row, room[row.id]) for row in of_model)


def _update(job: Row[Any], demand: Row[Any], room: int, limits: FeederSettings, lead: Lead, did: Step) -> None:
    with lead.transaction() as connection:
        # The rows are committed before the messages are sent. A message without its row would be refused. A row without
        # its message comes back when its lease runs out.
        queued = _queue(connection, job.id, room, limits.queued_lease_seconds) if room > 0 else []
        # Run `finish_job` only then, because with many questions Postgres may read all of them.
        settled = not (demand.pending or demand.in_flight or demand.unverified)
        finished = connection.execute(Q["finish_job"], {"job_id": job.id}).rowcount if settled else 0
        if demand.budget_in_use and not finished and connection.execute(Q["over_budget"], {"job_id": job.id}).rowcount:
            log.warning("job %s has spent its budget", job.id)
    did.queued += _send(job.id, job.model, queued, lead)
    did.finished += finished


def _queue(connection: Connection, job_id: int, room: int, lease: float) -> list[int]:
    rows = connection.execute(Q["queue"], {"job_id": job_id, "room": room, "lease": lease})
    return sorted(row.question_id for row in rows)


def _send(job_id: int, model: str, question_ids: list[int], lead: Lead) -> int:
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
        with lead.transaction() as connection:
            # Some messages may have been sent. They are valid, because a worker can also claim a pending question.
            connection.execute(Q["unqueue"], {"job_id": job_id, "question_ids": question_ids})
        return 0
    return len(question_ids)


def _nudge_trainers(lead: Lead) -> None:
    with lead.transaction() as connection:
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
        stand_by(stopped, leading)


def stand_by(stopped: Callable[[], bool], leading: threading.Event) -> None:
    """Wait for the lead, then step until `stopped()`. It survives an absence of Postgres or Redis."""
    limits, name = settings().feeder, unique_name()
    while not stopped():
        try:
            lead = take_lead(name, limits.leader_lease_seconds)
            if lead is None:
                time.sleep(STANDBY_SECONDS)
            else:
                _lead(lead, limits, stopped, leading)
        except LeadLost as error:
            log.warning("%s", error)
        except SQLAlchemyError as error:
            if not is_away(error) and sqlstate(error) not in SCHEMA_CHANGES:
                raise
            log.warning("Postgres cannot do it now, trying again: %s", reason(error))
            time.sleep(limits.interval_seconds)
        finally:
            leading.clear()


def _lead(lead: Lead, limits: FeederSettings, stopped: Callable[[], bool], leading: threading.Event) -> None:
    log.warning("this feeder leads")
    leading.set()
    while not stopped():
        if not step(limits, lead).queued:
            time.sleep(limits.interval_seconds)
    lead.release()
