"""Heartbeats: every process updates its row in Postgres every few seconds, with its current problem.

The feeder computes the capacity of the workers from these rows. People see the processes with `tracemill health`.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.retry import is_away, reason
from db.schema import require_current
from db.session import engine, statement
from tracemill.concurrency import Periodic
from tracemill.processes import is_alive
from tracemill.stack.programs import kind_of
from tracemill.stack.sweep import PROGRAM_MARK

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
#: Seconds without a heartbeat after which a process counts as lost or disconnected.
SILENT_SECONDS = 30.0


def process_name(kind: str) -> str:
    """The name of this process in the table `processes`, in Celery and in Flower.

    In the local stack it begins with the name of the program, such as `generate-vllm-gpu0`.
    """
    program = os.environ.get(PROGRAM_MARK, "")
    name = program if kind_of(program) == kind else kind
    return f"{name}.{os.getpid()}@{socket.gethostname()}"


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
    _wait_for_schema()
    row = {
        "name": process_name(kind),
        "kind": kind,
        "host": socket.gethostname(),
        "queues": json.dumps(list(queues)),
    }

    def beat() -> None:
        with suppress(SQLAlchemyError), statement() as connection:  # the next beat tries again
            now = {"concurrency": concurrency(), "leads": leads(), "trouble": trouble()}
            connection.execute(Q["beat"], row | now)

    _delete_dead_processes()
    beat()
    try:
        with Periodic("heartbeat", BEAT_SECONDS, beat):
            yield beat
    finally:
        leave(kind)


def leave(kind: str) -> None:
    """Delete the row of this process, because it ends."""
    with suppress(SQLAlchemyError), statement() as connection:
        connection.execute(Q["process_ended"], {"name": process_name(kind)})


def _delete_dead_processes() -> None:
    with suppress(SQLAlchemyError), statement() as connection:
        names = connection.execute(Q["processes_of_host"], {"host": socket.gethostname()}).scalars()
        # If containers share a host name, this may delete the row of a live process until its next beat.
        gone = [name for name in names if not is_alive(int(name.split(".")[1].split("@")[0]))]
        connection.execute(Q["forget_processes"], {"gone": gone})


def _wait_for_schema() -> None:
    waited = False
    while True:
        try:
            with engine().connect() as connection:
                require_current(connection)
            return
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            if not waited:
                log.warning("waiting for Postgres: %s", reason(error))
            waited = True
            time.sleep(1)
