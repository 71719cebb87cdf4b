"""`tracemill health`: the state of Postgres, Redis and every process."""

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Json, print_json, print_rows
from tracemill.errors import StackError, TracemillError
from tracemill.settings import settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEALTH = """Show the state of Postgres, Redis and every process.

Exit code 1 if anything is wrong, also while a worker loads its model.

With --here it shows only the processes of this host: a readiness probe for a container.

Example: tracemill health --here"""


#: States of a program of the local stack that may have no heartbeat.
FAILED = ("CRASHING", "FATAL", "BACKOFF", "EXITED")
#: The beginning of the name of a part that is a job.
JOB = "job "


@dataclass(frozen=True)
class Part:
    """One part of the factory. Its `trouble` is None when it is well."""

    name: str
    trouble: str | None
    about: str = ""

    @property
    def state(self) -> str:
        """The trouble in words, otherwise that it is well and what it does. A job that waits says for what."""
        if self.trouble or self.name.startswith(JOB):
            return self.trouble or self.about
        return f"well: {self.about}" if self.about else "well"


def register(app: typer.Typer) -> None:
    app.command(help=HEALTH, rich_help_panel="Processes")(health)


def health(
    here: Annotated[bool, typer.Option(help="Show only the processes of this host.")] = False, json: Json = False
) -> None:
    parts = _parts(here)
    if json:
        print_json([asdict(part) | {"well": part.trouble is None} for part in parts])
    else:
        print_parts(parts)
    if any(part.trouble for part in parts):
        raise typer.Exit(1)


def print_parts(parts: Iterable[Part]) -> None:
    """Print one row a part."""
    print_rows(({"part": part.name, "state": part.state} for part in parts), ("part", "state"))


def _parts(here: bool) -> list[Part]:
    redis = redis_part()
    try:
        return [Part("postgres", None), redis, *_processes(here)]
    except TracemillError as error:
        return [Part("postgres", str(error)), redis]


def redis_part() -> Part:
    """Whether Redis answers."""
    import redis

    url = settings().redis_url
    if url is None:
        return Part("redis", "not configured: start the local stack with `tracemill up`, or set redis_url")
    try:
        with redis.Redis.from_url(url.get_secret_value(), socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except redis.RedisError as error:
        return Part("redis", f"it does not answer: {error}")
    return Part("redis", None)


def postgres_part() -> Part:
    """Whether Postgres answers and has the schema of this code."""
    try:
        with _connected():
            return Part("postgres", None)
    except TracemillError as error:
        return Part("postgres", str(error))


@contextmanager
def _connected() -> "Iterator[Connection]":
    """A connection. Raises StackError if Postgres does not answer or has another schema."""
    from sqlalchemy.exc import OperationalError

    from db.schema import require_compatible
    from db.session import engine

    try:
        with engine().connect() as connection:
            require_compatible(connection)
            yield connection
    except OperationalError as error:
        raise StackError(f"it does not answer: {str(error.orig).splitlines()[0]}") from error


def _processes(here: bool) -> list[Part]:
    """Return the processes of the last ten minutes.

    Raises StackError if Postgres does not answer or has another schema.
    """
    from cli.jobs import progress
    from db.diagnosis import job_reasons, process_trouble, programs
    from db.heartbeat import SILENT_SECONDS, program_and_pid
    from db.queries import Q

    with _connected() as connection:
        rows = connection.execute(Q["processes"], {"host": socket.gethostname() if here else None}).all()
    parts = []
    for row in rows:
        about = f"up to {row.concurrency} at a time, from {', '.join(row.queues)}" if row.concurrency else ""
        parts.append(
            Part(f"{program_and_pid(row.name)}@{row.host}", process_trouble(row), "leads" if row.leads else about)
        )
    alive = [row for row in rows if row.silent_seconds <= SILENT_SECONDS]
    if here:
        return parts or [Part("processes", "no process of this host has sent a heartbeat")]
    if not any(row.leads for row in alive):
        parts.append(Part("feeder", "no producer leads, so no questions are handed out"))
    parts += [Part(program.name, program.failure) for program in programs() if program.state in FAILED]
    for job, reasons in job_reasons(progress()).items():
        for reason in reasons:
            parts.append(Part(JOB + job, reason.text) if reason.is_fault else Part(JOB + job, None, reason.text))
    return parts
