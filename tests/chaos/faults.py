"""The faults, their plan, and the code that causes each."""

import os
import random
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil
import redis
from sqlalchemy.exc import OperationalError

from tests.chaos.model import GARBLED, tell
from tests.chaos.world import WORKERS, World
from tests.integration.factory import rows, set_read_only, wait_until
from tests.scripted_server import Fault
from tracemill import stack as local
from tracemill.processes import is_alive
from tracemill.stack import ProcessStatus
from tracemill.stack.state import folder_of
from tracemill.stack.supervise import Supervisor


class Kind(StrEnum):
    """The kinds of faults."""

    #: For comparison.
    NOTHING = "nothing"
    #: SIGKILL of one process of that kind; of the producers, the leader.
    PRODUCER = "producer killed"
    GENERATE = "generate killed"
    VERIFY = "verify killed"
    MODEL = "model killed"
    REDIS = "redis killed"
    POSTGRES = "postgres killed"
    FLUSHED = "redis emptied"
    #: For a while, the model answers every request with this.
    BUSY = "model says 429"
    BROKEN = "model says 500"
    BAD_GATEWAY = "model says 502"
    GARBLED = "model says garbage"
    MALFORMED = "model says half"
    CUT_OFF = "model hangs up"
    HANGS = "model says nothing"
    #: SIGSTOP of one process of that kind with its children, and later SIGCONT; of the producers, the leader.
    PRODUCER_FROZEN = "producer frozen"
    GENERATE_FROZEN = "generate frozen"
    VERIFY_FROZEN = "verify frozen"
    MODEL_FROZEN = "model frozen"
    REDIS_FROZEN = "redis frozen"
    POSTGRES_FROZEN = "postgres frozen"
    #: SIGSTOP of all generate and verify workers at once.
    NO_CONSUMER = "nobody consumes"
    #: Every transaction is read-only for a while, as during a failover.
    READ_ONLY = "postgres read-only"
    #: Postgres is stopped and started again later. It happens once in a run.
    OUTAGE = "postgres away"


KINDS = tuple(kind for kind in Kind if kind not in (Kind.NOTHING, Kind.OUTAGE))
#: These need a Postgres that runs, so they do not happen during an outage.
OF_POSTGRES = (Kind.POSTGRES, Kind.POSTGRES_FROZEN, Kind.READ_ONLY)
#: The worker that asks the model for an answer may lose it.
OF_GENERATE = (Kind.GENERATE, Kind.GENERATE_FROZEN, Kind.NO_CONSUMER)
#: The model's fault and its duration in seconds. A 429 lowers a worker's concurrency by a quarter for a minute, so one
#: is enough.
MODEL_FAULTS = {
    Kind.BUSY: (Fault.BUSY, 0.5),
    Kind.BROKEN: (Fault.BROKEN, 1.5),
    Kind.BAD_GATEWAY: (Fault.BAD_GATEWAY, 1.5),
    Kind.GARBLED: (GARBLED, 1.5),
    Kind.MALFORMED: (Fault.MALFORMED, 1.5),
    Kind.CUT_OFF: (Fault.CUT_OFF, 1.5),
    Kind.HANGS: (Fault.HANGS, 1.5),
}
#: Seconds of SIGSTOP: longer than the leases of claims and of the leader.
FROZEN_SECONDS = 5.0
#: Seconds without a consumer: longer than the leases of messages.
UNCONSUMED_SECONDS = 8.0
READ_ONLY_SECONDS = 5.0
#: Seconds after each fault of Postgres in which no outage begins.
RECOVERY_SECONDS = 6.0


@dataclass
class Hit:
    """One fault, planned at `after` seconds, and its effect."""

    kind: Kind
    after: float
    at: float = 0.0
    pids: list[int] = field(default_factory=list)
    #: The questions in progress; empty if Postgres was unreachable.
    held: list[int] = field(default_factory=list)


def plan(of_each: int, seconds: float, outage_seconds: float, quiet: float, dice: random.Random) -> list[Hit]:
    """Plan one outage of Postgres and `of_each` faults of every other kind, at random times after `quiet` seconds."""
    outage = Hit(Kind.OUTAGE, dice.uniform(quiet, seconds - outage_seconds))
    hits = [outage]
    for kind in KINDS * of_each:
        after = dice.uniform(quiet, seconds)
        while kind in OF_POSTGRES and -RECOVERY_SECONDS < after - outage.after < outage_seconds + RECOVERY_SECONDS:
            after = dice.uniform(quiet, seconds)
        hits.append(Hit(kind, after))
    return [Hit(Kind.NOTHING, 0.0), *sorted(hits, key=lambda hit: hit.after)]


def strike(world: World, hit: Hit, outage_seconds: float, dice: random.Random) -> None:
    """Cause the fault."""
    with suppress(OperationalError):
        claimed = rows("select question_id from job_questions where state in ('running', 'generated')")
        hit.held = [row.question_id for row in claimed]
    if hit.kind in MODEL_FAULTS:
        tell(world.mood, *MODEL_FAULTS[hit.kind])
    elif hit.kind is Kind.FLUSHED:
        _flush(world)
    elif hit.kind is Kind.OUTAGE:
        _stop_postgres(world, outage_seconds)
    elif hit.kind is Kind.READ_ONLY:
        set_read_only(world.stack, True)
        threading.Timer(READ_ONLY_SECONDS, set_read_only, (world.stack, False)).start()
    elif hit.kind is Kind.NO_CONSUMER:
        hit.pids = [pid_of(row) for name in ("generate", "verify") for row in _running(world, name, WORKERS)]
        for pid in hit.pids:
            freeze(pid, UNCONSUMED_SECONDS)
    elif hit.kind is not Kind.NOTHING:
        target = _target(world, hit.kind, dice)
        hit.pids = [pid_of(target)]
        if hit.kind.endswith("frozen"):
            freeze(pid_of(target), FROZEN_SECONDS)
        else:
            world.killed[target.name] += 1
            os.kill(pid_of(target), signal.SIGKILL)
    hit.at = time.time()


def pid_of(row: ProcessStatus) -> int:
    """The pid of a running process."""
    assert row.pid is not None
    return row.pid


def _stop_postgres(world: World, seconds: float) -> None:
    supervisor = Supervisor(folder_of(world.folder), Path(world.stack.run_dir))
    supervisor.stop(["postgres"], 10)

    def start() -> None:
        supervisor.restart(["postgres"])
        world.killed["postgres"] = 0  # the supervisor counts its restarts anew

    threading.Timer(seconds, start).start()


def freeze(pid: int, seconds: float) -> None:
    """Stop a process and its children with SIGSTOP. A thread continues those that then still exist."""
    process = psutil.Process(pid)
    stopped = [process, *process.children(recursive=True)]
    for each in stopped:
        with suppress(psutil.NoSuchProcess):
            each.suspend()

    def resume() -> None:
        for each in stopped:
            with suppress(psutil.NoSuchProcess):  # it was killed meanwhile; psutil notices another process of that pid
                each.resume()

    threading.Timer(seconds, resume).start()


def _flush(world: World) -> None:
    def flushed() -> bool:
        try:
            return bool(world.redis.flushall())
        except redis.RedisError:  # Redis was killed a moment ago
            return False

    wait_until(flushed, 60)


def _target(world: World, kind: Kind, dice: random.Random) -> ProcessStatus:
    name = kind.split()[0]
    targets = _running(world, name, 1)
    leading = [row for row in targets if name == "producer" and row.pid == leader_pid()]
    return dice.choice(leading or targets)


def _running(world: World, name: str, count: int) -> list[ProcessStatus]:
    """The running processes of a kind, when there are `count` of them."""

    def running() -> list[ProcessStatus]:
        of_kind = [row for row in local.status(world.folder) if row.name.split("-")[0] == name]
        # The supervisor may not have noticed the last kill yet.
        alive = [row for row in of_kind if row.state == "RUNNING" and row.pid and is_alive(row.pid)]
        return alive if len(alive) >= count else []

    running_ones = wait_until(running, 60, lambda: [f"{row.name} {row.state}" for row in local.status(world.folder)])
    return list(running_ones)


def leader_pid() -> int | None:
    """The process of the leading feeder; None if none leads or Postgres is unreachable."""
    with suppress(OperationalError):
        for row in rows("select name from leader where lease_until > clock_timestamp()"):
            return int(row.name.split(":")[-2])
    return None
