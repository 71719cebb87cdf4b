"""A whole factory under the local stack's supervisor: two of each worker, two feeders, and the scripted model."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import redis

from db.migrate import prepare
from tests import ROOT
from tests.chaos.model import tell
from tests.conftest import forget
from tests.scripted_server import Fault
from tracemill import stack as local
from tracemill.stack import Program, Stack
from tracemill.stack.state import folder_of, free_port

WORKERS = 2

#: Short leases recover lost work in seconds. The timeout is longer than the model's longest answer.
SETTINGS = """
generate_concurrency = {concurrency}
verify_concurrency = 1
[models.teacher]
engine = "openai"
openai.base_url = "http://127.0.0.1:{port}/v1"
model = "scripted"
timeout_seconds = 3
[feeder]
window = {window}
interval_seconds = 0.2
queued_lease_seconds = 5
running_lease_seconds = 3
verify_lease_seconds = 5
max_attempts = {max_attempts}
leader_lease_seconds = 2
"""


@dataclass
class World:
    """The running factory, with a count of intended kills per process."""

    folder: Path
    mood: Path
    stack: Stack
    redis: "redis.Redis"
    killed: Counter[str] = field(default_factory=Counter)

    def deaths(self) -> dict[str, int]:
        """Count the unintended ends of each process. A start that was killed at once is not recorded."""
        counts = {row.name: row.restarts - self.killed[row.name] for row in local.status(self.folder)}
        return {name: count for name, count in counts.items() if count > 0}

    def orphans(self) -> list[str]:
        """List processes of this factory that no longer descend from its supervisor."""
        supervisor = psutil.Process(int((Path(self.stack.run_dir) / "supervisord.pid").read_text()))
        family = {supervisor.pid, *(child.pid for child in supervisor.children(recursive=True))}
        return [f"{pid}: {words}" for pid, words in processes(self.folder).items() if pid not in family]

    def log_tails(self) -> str:
        return "\n\n".join(folder_of(self.folder).log_tail(row.name) for row in local.status(self.folder))


def processes(folder: Path) -> dict[int, str]:
    """Map pids to command lines, for all processes in the folder or with its name in their environment."""
    commands = {}
    for process in psutil.process_iter():
        try:
            if any(str(folder) in text for text in (process.cwd(), *process.environ().values())):
                commands[process.pid] = " ".join(process.cmdline())
        except (psutil.Error, OSError):  # it has ended
            continue
    return commands


@contextmanager
def world(folder: Path, *, seed: int, in_flight: int, latency: float, max_attempts: int) -> Iterator[World]:
    """Run two of each process and one model."""
    port = free_port()
    settings = SETTINGS.format(
        concurrency=4 * in_flight // WORKERS, window=4 * in_flight, port=port, max_attempts=max_attempts
    )
    commands = {"model": model_command(folder / "mood", port, latency, seed)} | {
        f"{words[0]}-{number}": ["cli", *kind, *words]
        for number in range(1, WORKERS + 1)
        for kind, words in (
            ((), ("producer",)),
            (("worker",), ("generate", "--model", "teacher")),
            (("worker",), ("verify",)),
        )
    }
    programs = [
        Program(name, [sys.executable, "-m", *words], environment(folder), stop_seconds=5)
        for name, words in commands.items()
    ]
    tell(folder / "mood", Fault.BUSY, 0)
    with running(folder, settings, lambda _: programs) as factory:
        yield factory


def model_command(mood: Path, port: int, latency: float, seed: int) -> list[str]:
    """The words after `python -m` that start a scripted model with this mood file."""
    return ["tests.chaos.model", f"--port={port}", f"--latency={latency}", f"--seed={seed}", f"--mood={mood}"]


def environment(folder: Path) -> dict[str, str]:
    """The environment of a factory process in this folder."""
    return {
        "TRACEMILL_DATA_DIR": str(folder / "data"),
        "TRACEMILL_CONFIG": str(folder / "tracemill.toml"),
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def running(folder: Path, settings: str, programs: Callable[[Stack], list[Program]]) -> Iterator[World]:
    """Run a factory with empty tables; at the end check that no process is left.

    `programs`: builds the programs of a stack with running data services.
    """
    data = folder / "data"
    (folder / "tracemill.toml").write_text(settings)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        forget()
        try:
            stack = local.up(data, programs, prepare=prepare)
            forget()
            with redis.Redis.from_url(stack.redis_url) as client:
                yield World(data, folder / "mood", stack, client)
        finally:
            local.down(data)
    forget()
    assert processes(folder) == {}
