"""A real local stack in a temporary data folder, for the time of one measurement."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from benchmarks.common import environment
from db.jobs import JobSpec
from db.migrate import prepare
from db.session import engine, transaction
from producer.enqueue import enqueue
from producer.sources import Question
from tracemill import stack as local
from tracemill.errors import StackError
from tracemill.interpreter import python
from tracemill.methods import named, prompts
from tracemill.policy import Policy
from tracemill.sampling import Sampling
from tracemill.settings import settings
from tracemill.stack import Program
from tracemill.stack.programs import kind_of, programs

#: The first words of each `tracemill` command line of the stack.
TRACEMILL = python("cli")
#: The variable with the folder for the profiles of `benchmarks.profiled`. Without it nothing is profiled.
PROFILE = "BENCHMARK_PROFILE"
#: Seconds between two queries of a job's state, and the queries for each look at the processes. Both distort the
#: measurement, so they are few.
POLL_SECONDS = 2.0
QUERIES_A_LOOK = 5


@dataclass(frozen=True)
class Factory:
    """A running stack: Postgres, Redis, the feeder, a generate and a verify worker."""

    folder: Path

    def run(self, name: str, questions: Sequence[Question], **changes: Any) -> float:
        """Answer and verify the questions as one job. Returns the seconds from its first row to its last verdict.

        `changes`: fields of the job (`db.jobs.JobSpec`). Raises StackError if a process dies or a question fails.
        """
        self.finish(name, questions, **changes)
        n_traces = len(questions) * int(changes.get("samples", 4))
        verified = scalar("select verified from job_progress where job = :job", job=name)
        if verified != n_traces:
            raise StackError(f"{verified} of {n_traces} traces of {name} have a verdict: see {self.folder / 'logs'}")
        return float(
            scalar(
                "select extract(epoch from max(q.updated_at) - min(j.created_at)) "
                "from jobs j join job_questions q on q.job_id = j.id where j.name = :job",
                job=name,
            )
        )

    def finish(self, name: str, questions: Sequence[Question], **changes: Any) -> None:
        """Open one job and wait for its end. Raises StackError if a process dies."""
        fields: dict[str, Any] = {
            "name": name,
            "purpose": "teach",
            "model": "teacher",
            "method": "cot",
            "prompts": prompts(named("cot"), []),
            "samples": 4,
            "sampling": Sampling(),
            "policy": Policy(),
            "source": "benchmark",
        }
        enqueue(questions, JobSpec(**(fields | changes)), dataset=name, domain="math")
        wait_for_job(name, self._check)

    def _check(self, state: str) -> None:
        for row in local.status(self.folder):
            if row.state != "RUNNING" or row.restarts:
                raise StackError(f"{row.name} died while its job was {state}:\n{row.log.read_text()[-2000:]}")

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far by program. The children of workers (engines, checks) have their own entries."""
        seconds: dict[str, float] = {}
        for row in local.status(self.folder):
            if row.pid is None:
                continue
            process = psutil.Process(row.pid)
            seconds[row.name] = cpu_seconds(process)
            children = sum(map(cpu_seconds, process.children(recursive=True)))
            if kind_of(row.name) in ("generate", "verify"):
                seconds[f"children of {row.name}"] = children
            else:
                seconds[row.name] += children
        return seconds


def cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds of a process and of its children that have ended."""
    return float(sum(process.cpu_times()[:4]))


def scalar(query: str, **values: Any) -> Any:
    """The single value that a query returns."""
    with transaction() as connection:
        return connection.execute(text(query), values).scalar_one()


def wait_for_job(name: str, check: Callable[[str], None] = lambda state: None) -> None:
    """Return when the job is done. `check` receives its state at some of the queries."""
    queries = 0
    while (state := scalar("select state from jobs where name = :job", job=name)) != "done":
        if queries % QUERIES_A_LOOK == 0:
            check(state)
        queries += 1
        time.sleep(POLL_SECONDS)


def wait_for_round(name: str) -> None:
    """Return when the round is done. Raises StackError if the round or its loop fails."""
    while (state := scalar("select max(state) from rounds where name = :name", name=name)) != "done":
        error = scalar("select max(error) from (select error from rounds union all select error from loops) e")
        if error:
            raise StackError(f"{name} is {state or 'not queued'}: {error}")
        time.sleep(POLL_SECONDS)


@contextmanager
def factory(toml: str, change: Callable[[Program], Program | None] = lambda program: program) -> Iterator[Factory]:
    """Start the stack with these settings, and none of this machine's. Remove it and its data afterwards.

    `change`: returns the program to run in place of the given one, or None.
    """
    folder = Path(tempfile.mkdtemp(prefix="tracemill-benchmark-"))
    (folder / "tracemill.toml").write_text(toml)
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("TRACEMILL_")}
    ours = {"TRACEMILL_DATA_DIR": str(folder / "data"), "TRACEMILL_CONFIG": str(folder / "tracemill.toml")}
    os.environ |= ours
    _forget()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` also runs after SIGTERM
    try:
        local.up(
            folder / "data",
            lambda stack: [_profiled(changed) for program in programs(stack) if (changed := change(program))],
            prepare=prepare,
        )
        _forget()
        yield Factory(folder / "data")
    finally:
        local.down(folder / "data")
        for name in ours:
            del os.environ[name]
        os.environ |= before
        _forget()
        shutil.rmtree(folder, ignore_errors=True)


def _profiled(program: Program) -> Program:
    folder = os.environ.get(PROFILE)
    if not folder or program.command[: len(TRACEMILL)] != TRACEMILL:
        return program
    return run_by("benchmarks.profiled", Path(folder).absolute() / f"{program.name}.prof", program)


def run_by(module: str, file: Path, program: Program) -> Program:
    """The same `tracemill` command, run by a module of the benchmarks that writes its figures to the file."""
    command = python(module, str(file), *program.command[len(TRACEMILL) :])
    return replace(program, command=command, environment=program.environment | environment())


def _forget() -> None:
    settings.cache_clear()
    engine.cache_clear()
