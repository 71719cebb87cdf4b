"""The faults, when they happen, and how each is brought about."""

import os
import random
import signal
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
    """What happens."""

    #: For comparison.
    NOTHING = "nothing"
    #: kill -9 of one process of that kind; of the producers, the one that leads.
    PRODUCER = "producer killed"
    GENERATE = "generate killed"
    VERIFY = "verify killed"
    MODEL = "model killed"
    REDIS = "redis killed"
    POSTGRES = "postgres killed"
    FLUSHED = "redis emptied"
    #: The model answers every request for a while with:
    BUSY = "model says 429"
    BROKEN = "model says 500"
    GARBLED = "model says garbage"
    MALFORMED = "model says half"
    CUT_OFF = "model hangs up"
    HANGS = "model says nothing"


KINDS = tuple(kind for kind in Kind if kind is not Kind.NOTHING)
#: What the model answers with, and for how many seconds. Each 429 makes a worker ask for a quarter less, and it takes a
#: minute to dare as much again: one is enough.
MOODS = {
    Kind.BUSY: (Fault.BUSY, 0.5),
    Kind.BROKEN: (Fault.BROKEN, 1.5),
    Kind.GARBLED: (GARBLED, 1.5),
    Kind.MALFORMED: (Fault.MALFORMED, 1.5),
    Kind.CUT_OFF: (Fault.CUT_OFF, 1.5),
    Kind.HANGS: (Fault.HANGS, 1.5),
}


@dataclass
class Hit:
    """One fault: planned `after` so many seconds, and what became of it."""

    kind: Kind
    after: float
    at: float = 0.0
    pid: int | None = None
    #: The questions that were under way; none where Postgres could not be asked.
    held: list[int] = field(default_factory=list)


def plan(count: int, seconds: float, quiet: float, dice: random.Random) -> list[Hit]:
    """Faults at random times, each kind as often as any other; before them nothing happens for a while."""
    kinds = [KINDS[index % len(KINDS)] for index in range(count)]
    dice.shuffle(kinds)
    times = sorted(dice.uniform(quiet, seconds) for _ in kinds)
    return [Hit(Kind.NOTHING, 0.0), *map(Hit, kinds, times)]


def strike(world: World, hit: Hit, dice: random.Random) -> None:
    """Let it happen."""
    with suppress(OperationalError):
        claimed = rows("select question_id from job_questions where state in ('running', 'generated')")
        hit.held = [row.question_id for row in claimed]
    if hit.kind in MOODS:
        tell(world.mood, *MOODS[hit.kind])
    elif hit.kind is Kind.FLUSHED:
        _flush(world)
    elif hit.kind is not Kind.NOTHING:
        target = _target(world, hit.kind, dice)
        hit.pid = target.pid
        world.killed[target.name] += 1
        assert target.pid is not None
        os.kill(target.pid, signal.SIGKILL)
    hit.at = time.time()


def _flush(world: World) -> None:
    def flushed() -> bool:
        try:
            return bool(world.redis.flushall())
        except redis.RedisError:  # it was killed a moment ago
            return False

    wait_until(flushed, 60)


def _target(world: World, kind: Kind, dice: random.Random) -> ProcessStatus:
    name = kind.split()[0]

    def running() -> list[ProcessStatus]:
        return [row for row in local.status(world.folder) if row.name.split("-")[0] == name and row.state == "RUNNING"]

    wait_until(running, 60, lambda: [f"{row.name} {row.state}" for row in local.status(world.folder)])
    targets = running()
    leading = [row for row in targets if kind is Kind.PRODUCER and row.pid and _leads(row.pid)]
    return dice.choice(leading or targets)


def _leads(pid: int) -> bool:
    """Whether the process has the connection that holds the feeders' lock; false while Postgres is away."""
    try:
        (port,) = rows("select client_port from pg_locks join pg_stat_activity using (pid) where locktype = 'advisory'")
    except (OperationalError, ValueError):
        return False
    return any(connection.laddr.port == port.client_port for connection in psutil.Process(pid).net_connections("tcp"))
