"""Heartbeats: every process updates its row in Postgres every few seconds, with its current problem.

A claim names its process. While the row is fresh, nobody takes the claim; when it is `running_lease_seconds` old or
missing, the feeder takes the claim back. The feeder also computes the capacity of the workers from these rows. People
see the processes with `tracemill health`.
"""

import json
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.retry import is_away, reason
from db.schema import require_compatible
from db.session import engine, statement
from tracemill.concurrency import Periodic, once
from tracemill.processes import is_alive
from tracemill.settings import settings
from tracemill.stack.programs import kind_of
from tracemill.stack.sweep import PROGRAM_MARK

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
#: Seconds without a heartbeat after which a process counts as lost or disconnected.
SILENT_SECONDS = 30.0


@once
def _random() -> str:
    return uuid4().hex[:8]


def process_name(kind: str) -> str:
    """The name of this process in the table `processes`, on its claims, in Celery and in Flower: kind.pid.random@host.

    In the local stack it begins with the name of the program, such as `generate-vllm-gpu0`. The random part separates
    processes of containers, which may have the same host name and pid, and a process from its successor.
    """
    program = os.environ.get(PROGRAM_MARK, "")
    name = program if kind_of(program) == kind else kind
    return f"{name}.{os.getpid()}.{_random()}@{socket.gethostname()}"


def program_and_pid(name: str) -> str:
    """The part of the name of a process that its host knows: `generate-vllm-gpu0.4711`."""
    return ".".join(name.split("@")[0].split(".")[:2])


def beat_seconds() -> float:
    """Seconds between two heartbeats of a process."""
    return min(BEAT_SECONDS, settings().feeder.running_lease_seconds / 3)


class Heartbeat:
    """The row of a process, and a thread that updates it from `start` until `stop`."""

    def __init__(
        self, name: str, kind: str, queues: Sequence[str], state: Callable[[], dict[str, Any]], is_hidden: bool = False
    ) -> None:
        self.name = name
        self._kind = kind
        self._row = {
            "name": self.name,
            "kind": kind,
            "host": socket.gethostname(),
            "queues": json.dumps(list(queues)),
            "is_hidden": is_hidden,
        }
        self._state = state
        self._sent_at = -math.inf
        self._sending = threading.Lock()

    def start(self) -> Self:
        """Send one now, and then one at each interval."""
        self.send()
        self._thread = Periodic("heartbeat", beat_seconds(), self.send)
        return self

    def send(self) -> None:
        """Update the row. While Postgres is away it does nothing, and the next call tries again."""
        try:
            self._send()
        except SQLAlchemyError as error:
            log.debug("no heartbeat: %s", reason(error))
        except Exception:  # a thread without heartbeats would lose the claims of a process that works
            log.exception("could not send a heartbeat")

    def refresh(self) -> None:
        """Send one if the last one is old, as after a freeze, so that a new claim does not look lost.

        Raises SQLAlchemyError while Postgres is away.
        """
        oldest = settings().feeder.running_lease_seconds / 2
        if time.monotonic() - self._sent_at > oldest:
            with self._sending:
                if time.monotonic() - self._sent_at > oldest:
                    self._send()

    def _send(self) -> None:
        now = time.monotonic()
        with statement() as connection:
            connection.execute(Q["beat"], self._row | self._state())
        self._sent_at = now

    def stop(self) -> None:
        """Send no more of them, and delete the row."""
        self._thread.stop()
        leave(self._kind)


_present: Heartbeat | None = None


@once
def background() -> Heartbeat:
    """The heartbeats of a worker that Celery's own command started. People do not see its row."""
    state = {"concurrency": 0, "leads": False, "trouble": None}
    return Heartbeat(process_name("worker"), "worker", [], lambda: state, is_hidden=True).start()


def heartbeat() -> Heartbeat:
    """The heartbeats of this process."""
    return _present or background()


def _forget() -> None:
    global _present
    _present = None
    background.cache_clear()
    _random.cache_clear()


# A forked child (Celery's prefork pool) is a process of its own, without its parent's thread.
os.register_at_fork(after_in_child=_forget)


@contextmanager
def present(
    kind: str,
    *,
    queues: Sequence[str] = (),
    concurrency: Callable[[], int] = lambda: 0,
    leads: Callable[[], bool] = lambda: False,
    trouble: Callable[[], str | None] = lambda: None,
) -> Iterator[Callable[[], None]]:
    """Send heartbeats of this process until the block ends. Yields a function that sends one at once.

    It first waits for Postgres, and later survives its absence. `queues` and `concurrency`: the source of its tasks,
    and the number of them at a time, 0 while a model loads. `trouble` returns the current problem or None. Raises
    StackError if the schema of the database differs from that of this code.
    """
    global _present

    def state() -> dict[str, Any]:
        return {"concurrency": concurrency(), "leads": leads(), "trouble": trouble()}

    _wait_for_schema()
    _hide_ended_processes()
    _present = sent = Heartbeat(process_name(kind), kind, queues, state).start()
    try:
        yield sent.send
    finally:
        _present = None
        sent.stop()


def leave(kind: str) -> None:
    """Delete the row of this process, because it ends."""
    with suppress(SQLAlchemyError), statement() as connection:
        connection.execute(Q["process_ended"], {"name": process_name(kind)})


def _hide_ended_processes() -> None:
    with suppress(SQLAlchemyError), statement() as connection:
        connection.execute(Q["forget_processes"], {"lease": settings().feeder.running_lease_seconds})
        names = connection.execute(Q["processes_of_host"], {"host": socket.gethostname()}).scalars()
        pids = {name: int(program_and_pid(name).split(".")[1]) for name in names}
        ended = [name for name, pid in pids.items() if pid == os.getpid() or not is_alive(pid)]
        connection.execute(Q["hide_processes"], {"names": ended})


def _wait_for_schema() -> None:
    waited = False
    while True:
        try:
            with engine().connect() as connection:
                require_compatible(connection)
                if connection.execute(text("select current_setting('lock_timeout')")).scalar() == "0":
                    log.warning("the role of database_url has no limits for its sessions: run `tracemill db roles`")
            return
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            if not waited:
                log.warning("waiting for Postgres: %s", reason(error))
            waited = True
            time.sleep(1)
