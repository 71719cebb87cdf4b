"""Every process of the factory says every few seconds that it is alive, and what is wrong with it, in Postgres.

The feeder sees from it how much work the workers can take, and people see who is there: `tracemill health`.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from db.queries import Q
from db.session import engine, statement
from tracemill.concurrency import Periodic

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
#: A process that was silent for so long is lost, or cut off.
SILENT_SECONDS = 30.0


def process_name(kind: str) -> str:
    """This process among all: the name that Celery and Flower show, too."""
    return f"{kind}.{os.getpid()}@{socket.gethostname()}"


@contextmanager
def present(
    kind: str,
    *,
    queues: Sequence[str] = (),
    concurrency: int = 0,
    leads: Callable[[], bool] = lambda: False,
    trouble: Callable[[], str | None] = lambda: None,
) -> Iterator[None]:
    """Say until the block ends that this process is here; outlives an absence of Postgres, and waits for it at first.

    `queues`, `concurrency`: where it takes its tasks from, and how many at a time. `trouble`: what is wrong, or null.
    Raises StackError when the database's schema is not this code's.
    """
    _wait_for_schema()
    row = {
        "name": process_name(kind),
        "kind": kind,
        "host": socket.gethostname(),
        "queues": json.dumps(list(queues)),
        "concurrency": concurrency,
    }

    def beat() -> None:
        with suppress(SQLAlchemyError), statement() as connection:  # Postgres is away: the next beat tries again
            connection.execute(Q["beat"], row | {"leads": leads(), "trouble": trouble()})

    _forget_the_dead()
    beat()
    try:
        with Periodic("presence", BEAT_SECONDS, beat):
            yield
    finally:
        leave(kind)


def leave(kind: str) -> None:
    """This process ends: nobody counts on it any more."""
    with suppress(SQLAlchemyError), statement() as connection:
        connection.execute(Q["process_ended"], {"name": process_name(kind)})


def _forget_the_dead() -> None:
    with suppress(SQLAlchemyError), statement() as connection:
        names = connection.execute(Q["processes_of_host"], {"host": socket.gethostname()}).scalars()
        # Where containers share a host's name this may take a living one off the list, until its next beat.
        gone = [name for name in names if not psutil.pid_exists(int(name.split(".")[1].split("@")[0]))]
        connection.execute(Q["forget_processes"], {"gone": gone})


def _wait_for_schema() -> None:
    from db.migrate import require_current  # Alembic, which a command that only looks does not need

    waited = False
    while True:
        try:
            with engine().connect() as connection:
                require_current(connection)
            return
        except OperationalError as error:
            if not waited:
                log.warning("waiting for Postgres: %s", str(error.orig).splitlines()[0])
            waited = True
            time.sleep(1)
