"""The faults, their plan, and the code that causes each."""

import os
import random
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import psutil
import redis
from sqlalchemy.exc import OperationalError

from tests.chaos.model import GARBLED, tell
from tests.chaos.world import World
from tests.integration.factory import rows, wait_until
from tests.scripted_server import Fault
from tracemill import stack as local
from tracemill.stack import ProcessStatus


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


KINDS = tuple(kind for kind in Kind if kind is not Kind.NOTHING)
#: The model's fault and its duration in seconds. A 429 lowers a worker's concurrency by a quarter for a minute, so one
#: is enough.
MODEL_FAULTS = {
    Kind.BUSY: (Fault.BUSY, 0.5),
    Kind.BROKEN: (Fault.BROKEN, 1.5),
    Kind.GARBLED: (GARBLED, 1.5),
    Kind.MALFORMED: (Fault.MALFORMED, 1.5),
    Kind.CUT_OFF: (Fault.CUT_OFF, 1.5),
    Kind.HANGS: (Fault.HANGS, 1.5),
}
#: Seconds of SIGSTOP: longer than the leases of claims and of the leader.
FROZEN_SECONDS = 5.0


@dataclass
class Hit:
    """One fault, planned at `after` seconds, and its effect."""

    kind: Kind
    after: float
    at: float = 0.0
    pid: int | None = None
    #: The questions in progress; empty if Postgres was unreachable.
    held: list[int] = field(default_factory=list)


def plan(count: int, seconds: float, quiet: float, dice: random.Random) -> list[Hit]:
    """Plan faults at random times after `quiet` seconds, equally many of each kind."""
    kinds = [KINDS[index % len(KINDS)] for index in range(count)]
    dice.shuffle(kinds)
    times = sorted(dice.uniform(quiet, seconds) for _ in kinds)
    return [Hit(Kind.NOTHING, 0.0), *map(Hit, kinds, times)]


def strike(world: World, hit: Hit, dice: random.Random) -> None:
    """Cause the fault."""
    with suppress(OperationalError):
        claimed = rows("select question_id from job_questions where state in ('running', 'generated')")
        hit.held = [row.question_id for row in claimed]
    if hit.kind in MODEL_FAULTS:
        tell(world.mood, *MODEL_FAULTS[hit.kind])
    elif hit.kind is Kind.FLUSHED:
        _flush(world)
    elif hit.kind is not Kind.NOTHING:
        target = _target(world, hit.kind, dice)
        hit.pid = target.pid
        assert target.pid is not None
        if hit.kind.endswith("frozen"):
            freeze(target.pid, FROZEN_SECONDS)
        else:
            world.killed[target.name] += 1
            os.kill(target.pid, signal.SIGKILL)
    hit.at = time.time()


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

    def running() -> list[ProcessStatus]:
        return [row for row in local.status(world.folder) if row.name.split("-")[0] == name and row.state == "RUNNING"]

    wait_until(running, 60, lambda: [f"{row.name} {row.state}" for row in local.status(world.folder)])
    targets = running()
    leading = [row for row in targets if name == "producer" and row.pid == leader_pid()]
    return dice.choice(leading or targets)


def leader_pid() -> int | None:
    """The process of the leading feeder; None if none leads or Postgres is unreachable."""
    with suppress(OperationalError):
        for row in rows("select name from leader where lease_until > clock_timestamp()"):
            return int(row.name.split(":")[-2])
    return None
