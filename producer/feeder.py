"""The feeder: keeps a window of each model's questions in Redis, and takes back lost questions.

One step updates every active job. All state is in Postgres, so another feeder can continue after a crash. One feeder
leads (`producer.leader`); the others stand by.

While Postgres was away or no feeder led, workers could send no heartbeats. So nothing is taken back until a feeder has
led for `running_lease_seconds` without losing Postgres. Traces that no verifier has claimed are sent at once.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
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
from producer.messages import questions_in
from producer.shares import Job, questions_a_message, refill_seconds, rooms, window
from producer.upkeep import keep_up
from tracemill.celery import GENERATE, LOOP, TRAIN, app, nudge_verifiers, publish, send
from tracemill.policy import Policy
from tracemill.processes import unique_name
from tracemill.queues import TRAIN_QUEUE, generate_queue, verify_queue
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
    #: Seconds until workers will have taken a good part of a window.
    refill_seconds: float = field(default=inf, compare=False)


class Rates:
    """The rate at which the workers of each model take questions, by what the feeder must refill."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[float, float]] = {}

    def update(self, model: str, refilled: int) -> float:
        """Questions a second, as a moving average, after a step that refills so many. The first step gives 0."""
        now = time.monotonic()
        if model not in self._latest:
            rate = 0.0
        else:
            before, rate = self._latest[model]
            rate = (rate + refilled / max(now - before, 1e-3)) / 2
        self._latest[model] = now, rate
        return rate


def step(limits: FeederSettings, lead: Lead, rates: Rates | None = None) -> Step:
    """Update every active job once, and take back what dead workers held of all jobs. Raises LeadLost.

    `rates` remembers the steps before, for the size of the messages.
    """
    did = Step()
    takes_back = lead.held_seconds() >= limits.running_lease_seconds
    if takes_back:
        _end_lost_claims(limits, lead)
    with statement() as connection:
        jobs = {job.id: job for job in connection.execute(Q["active_jobs"])}
        halted = connection.execute(Q["halted_jobs"]).scalars().all()
    late = {job.id: job for job in jobs.values() if job.is_late}
    if late and takes_back:
        _keep_queued(late, limits, lead)
    for job in late.values():
        _take_back(job, limits, lead, did, takes_back)
    for job_id in halted:
        with lead.transaction() as connection:
            # A step that began before the job was halted may have queued more of its questions.
            connection.execute(Q["unqueue"], {"job_id": job_id, "question_ids": None})
            if takes_back:
                _free(connection, job_id, limits, did)
    for demand, room, size in _rooms({job.model for job in jobs.values()}, limits, rates or Rates(), did):
        if demand.id in jobs:  # otherwise the job has just been opened
            _update(jobs[demand.id], demand, room, size, limits, lead, did)
    _nudge_trainers(lead)
    return did


def _end_lost_claims(limits: FeederSettings, lead: Lead) -> None:
    lease = {"lease": limits.running_lease_seconds}
    with statement() as connection:
        owners = connection.execute(Q["lost_owners"], lease).scalars().all()
    if owners:
        with lead.transaction() as connection:
            connection.execute(Q["end_lost_claims"], lease | {"owners": owners})


def _keep_queued(jobs: Mapping[int, Row[Any]], limits: FeederSettings, lead: Lead) -> None:
    """Extend the leases of queued questions whose messages still wait in Redis, because nobody consumes them."""
    with statement() as connection:
        overdue = [tuple(row) for row in connection.execute(Q["overdue_messages"], {"job_ids": list(jobs)})]
    kept = _in_redis(overdue, {generate_queue(jobs[job_id].model) for job_id, _ in overdue})
    if kept:
        job_ids, question_ids = map(list, zip(*kept, strict=True))
        lease = {"job_ids": job_ids, "question_ids": question_ids, "lease": limits.queued_lease_seconds}
        with lead.transaction() as connection:
            connection.execute(Q["keep_queued"], lease)


def _in_redis(questions: Sequence[tuple[int, int]], queues: Collection[str]) -> list[tuple[int, int]]:
    """The questions, as (job, question), whose messages wait in the queues; all of them if Redis cannot be reached."""
    if not questions:
        return []
    try:
        waiting = questions_in(*queues)
    except (BrokerAway, RedisError) as error:
        log.warning("Redis cannot be reached, the messages of %d questions may be lost: %s", len(questions), error)
        return list(questions)
    return [key for key in questions if key in waiting]


def _take_back(job: Row[Any], limits: FeederSettings, lead: Lead, did: Step, takes_back: bool) -> None:
    with lead.transaction() as connection:
        if takes_back:
            _free(connection, job.id, limits, did)
        overdue = {"job_id": job.id, "lease": limits.verify_lease_seconds, "takes_back": takes_back}
        late = connection.execute(Q["overdue_verifications"], overdue).all()
    if not late:
        return
    policy = Policy.model_validate(job.policy)
    questions = [(job.id, row.question_id) for row in late]
    waiting = set(_in_redis(questions, {verify_queue(None), verify_queue(policy.judge)}))
    if lost := [question_id for job_id, question_id in questions if (job_id, question_id) not in waiting]:
        nudge_verifiers(job.id, lost, policy)
        did.renudged += len(lost)


def _free(connection: Connection, job_id: int, limits: FeederSettings, did: Step) -> None:
    lost = {"job_id": job_id, "max_attempts": limits.max_attempts}
    did.taken_back += len(connection.execute(Q["take_back"], lost).all())


def _rooms(models: set[str], limits: FeederSettings, rates: Rates, did: Step) -> Iterator[tuple[Row[Any], int, int]]:
    """Each active job of the models: its counts, how many questions it may send, and how many a message holds."""
    if not models:
        return
    with statement() as connection:
        workers = {row.queue: row for row in connection.execute(Q["listening"], {"silent": SILENT_SECONDS})}
        listening = {model: workers.get(generate_queue(model)) for model in models}
        pauses = {row.alias: row.is_trial_due for row in connection.execute(Q["model_pauses"])}
        if pauses:
            connection.execute(Q["unqueue_paused"])
        windows = {
            # A paused model gets one question when its trial is due.
            model: int(pauses[model])
            if model in pauses
            else window(int(row.places) if row else 0, len(models), limits.window)
            for model, row in listening.items()
        }
        demands = connection.execute(Q["demands"], {"most": max(*windows.values(), 1)}).all()
    for model, width in windows.items():
        of_model = [row for row in demands if row.model == model]
        jobs = [
            Job(row.id, row.priority, row.queued, row.unverified, row.pending, not row.budget_in_use)
            for row in of_model
        ]
        room = rooms(jobs, width, limits.backlog)
        row = listening[model]
        rate = rates.update(model, sum(room.values()))
        did.refill_seconds = min(did.refill_seconds, refill_seconds(rate, width))
        size = questions_a_message(rate, row.processes if row else 0)
        yield from ((demand, room[demand.id], size) for demand in of_model)


def _update(
    job: Row[Any], demand: Row[Any], room: int, size: int, limits: FeederSettings, lead: Lead, did: Step
) -> None:
    # Run `finish_job` only then, because with many questions Postgres may read all of them.
    settled = not (demand.pending or demand.queued or demand.running or demand.unverified)
    if not (room > 0 or settled or demand.budget_in_use):
        return
    with lead.transaction() as connection:
        # The rows are committed before the messages are sent. A message without its row would be refused. A row without
        # its message comes back when its lease runs out.
        queued = _queue(connection, job.id, room, limits.queued_lease_seconds) if room > 0 else []
        finished = connection.execute(Q["finish_job"], {"job_id": job.id}).rowcount if settled else 0
        if finished:  # what was settled while the job or its next tier was paused
            connection.execute(Q["escalate"], {"job_id": job.id, "question_ids": None})
        if demand.budget_in_use and not finished and connection.execute(Q["over_budget"], {"job_id": job.id}).rowcount:
            log.warning("job %s has spent its budget", job.id)
    did.queued += _send(job.id, job.model, queued, size, lead)
    did.finished += finished


def _queue(connection: Connection, job_id: int, room: int, lease: float) -> list[int]:
    rows = connection.execute(Q["queue"], {"job_id": job_id, "room": room, "lease": lease})
    return sorted(row.question_id for row in rows)


def _send(job_id: int, model: str, question_ids: list[int], size: int, lead: Lead) -> int:
    """Send messages of up to `size` questions, many in a round trip. Returns the number of questions.

    If Redis cannot be reached, all questions become pending again.
    """
    try:
        with app.producer_or_acquire() as producer, producer.batch():
            for start in range(0, len(question_ids), size):
                publish(producer, GENERATE, [job_id, question_ids[start : start + size]], generate_queue(model))
    except (BrokerAway, BatchPublishError, RedisError) as error:
        log.warning("Redis cannot be reached, %d questions wait in Postgres: %s", len(question_ids), error)
        with lead.transaction() as connection:
            # Some messages may have been sent. They are valid, because a worker can also claim a pending question.
            connection.execute(Q["unqueue"], {"job_id": job_id, "question_ids": question_ids})
        return 0
    return len(question_ids)


def _nudge_trainers(lead: Lead) -> None:
    with statement() as connection:
        if not connection.execute(Q["trainers_are_due"]).scalar():
            return
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
    with present("producer", leads=leading.is_set), keep_up(leading.is_set):
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
    rates = Rates()
    while not stopped():
        # Full messages cost far less than many small ones. So the window may shrink before it is filled again.
        time.sleep(min(limits.interval_seconds, step(limits, lead, rates).refill_seconds))
    lead.release()
