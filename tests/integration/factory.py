"""Helpers for tests of the factory: questions, jobs, and real processes that can be killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import text

from db.jobs import JobSpec, one_prompt
from db.session import transaction
from producer.enqueue import Enqueued, enqueue
from producer.sources import Problem, Question
from tests import ROOT
from tracemill import stack as local
from tracemill.celery import app
from tracemill.policy import Policy
from tracemill.prompts import Prompt
from tracemill.queues import generate_queue
from tracemill.sampling import Sampling
from tracemill.settings import settings
from tracemill.stack import Stack
from tracemill.stack.postgres import answers
from tracemill.stack.state import folder_of

ASK = Prompt(({"role": "user", "content": "{question}"},))


def additions(count: int, *, first: int = 0) -> list[Question]:
    """Build `count` questions "What is n + 1?" with their golds, from n = `first`."""
    return [addition(n) for n in range(first, first + count)]


def addition(n: int) -> Question:
    return Question(f"What is {n} + 1?", str(n + 1), None, None, {}, None)


def job_spec(name: str, **changes: Any) -> JobSpec:
    """Build a teach job of 4 samples for the alias `teacher`."""
    fields: dict[str, Any] = {
        "name": name,
        "purpose": "teach",
        "model": "teacher",
        "method": "cot",
        "prompts": one_prompt(ASK),
        "samples": 4,
        "sampling": Sampling(max_tokens=64),
        "policy": Policy(),
        "source": "test",
    }
    return JobSpec(**(fields | changes))


def fill(rows: Iterator[Question | Problem] | Sequence[Question | Problem], name: str, **changes: Any) -> Enqueued:
    """Enqueue the rows in a dataset named like the job, so that jobs do not share questions."""
    return enqueue(rows, job_spec(name, **changes), dataset=name, domain="math")


def rows(query: str, **values: Any) -> list[Any]:
    with transaction() as connection:
        return list(connection.execute(text(query), values).all())


def value(query: str, **values: Any) -> Any:
    """Return the single value of the query."""
    with transaction() as connection:
        return connection.execute(text(query), values).scalar_one()


def change(statement: str, **values: Any) -> int:
    """Run the statement; return the number of changed rows."""
    with transaction() as connection:
        return connection.execute(text(statement), values).rowcount


def states(job: str) -> dict[str, int]:
    """Count a job's questions by state."""
    counts = rows(
        "select q.state, count(*) from job_questions q join jobs j on j.id = q.job_id where j.name = :job group by 1",
        job=job,
    )
    return dict(map(tuple, counts))


def job_state(job: str) -> str:
    return str(value("select state from jobs where name = :job", job=job))


def wait_until(condition: Callable[[], Any], seconds: float = 120, what: Callable[[], object] = lambda: "") -> Any:
    """Wait until the condition is true and return its value; fail with `what()` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"it did not happen in {seconds:.0f} s: {what()}"
        time.sleep(0.05)
    return result


@contextmanager
def broker(url: str) -> Iterator[None]:
    """Send the messages of this process's Celery app to `url`."""
    before = app.conf.broker_url
    try:
        _send_to(url)
        yield
    finally:
        _send_to(before)


def _send_to(url: str) -> None:
    app.conf.broker_url = url
    # Celery caches its connections; this drops them, as after a fork.
    app._after_fork()


def waiting(stack: Stack, alias: str = "teacher") -> int:
    """Count the messages in the queue of a model alias."""
    with redis.Redis.from_url(stack.redis_url) as client:
        n_messages = client.llen(generate_queue(alias))
    assert isinstance(n_messages, int)
    return n_messages


def set_read_only(stack: Stack, is_on: bool) -> None:
    """Every new transaction of the local Postgres is read-only, as during a failover, or no longer."""
    folder = settings().data_dir
    file = folder_of(folder).postgres / "postgresql.auto.conf"
    file.write_text(f"default_transaction_read_only = {'on' if is_on else 'off'}\n")
    wait_until(lambda: answers(stack))  # one that starts now would not survive the signal
    (pid,) = [row.pid for row in local.status(folder) if row.name == "postgres"]
    assert pid is not None
    os.kill(pid, signal.SIGHUP)


class Processes:
    """Real processes of the factory, each with its log. They are stopped by pid, with their children."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {"TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())} | environment
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *words: str, module: str = "cli", **environment: str) -> subprocess.Popen[bytes]:
        """Start `python -m cli WORDS` unless the process of that name runs."""
        old = self.running.get(name)
        if old is not None and old.poll() is None:
            return old
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=ROOT,
                env=self.whole_environment() | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.running[name]

    def whole_environment(self) -> dict[str, str]:
        """The environment of each process."""
        return os.environ | self.environment

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        """Kill the process with SIGKILL, as an out-of-memory killer does; its children are not killed."""
        self.running[name].kill()
        self.running[name].wait()

    def stop(self, name: str, seconds: float = 15) -> int:
        """Send SIGTERM and return the exit code. Then kill all its remaining processes."""
        process = self.running.pop(name)
        process.terminate()
        try:
            return process.wait(seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop_all(self) -> None:
        """Stop all processes at once."""
        for process in self.running.values():
            process.terminate()
        for name in list(self.running):
            with suppress(subprocess.TimeoutExpired):
                self.stop(name)
