"""A whole factory under the local stack's own supervisor: two of each worker, two feeders, and the scripted model."""

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

#: Short leases: what is lost is found again after seconds. The timeout is longer than the model's longest answer.
SETTINGS = """
generate_concurrency = {concurrency}
verify_concurrency = 1
[models.teacher]
engine = "openai"
base_url = "http://127.0.0.1:{port}/v1"
model = "scripted"
timeout_seconds = 3
[feeder]
window = {window}
interval_seconds = 0.2
queued_lease_seconds = 5
running_lease_seconds = 3
verify_lease_seconds = 5
max_attempts = {max_attempts}
"""


@dataclass
class World:
    """The running factory, and how often each of its processes was killed on purpose."""

    folder: Path
    mood: Path
    stack: Stack
    redis: "redis.Redis"
    killed: Counter[str] = field(default_factory=Counter)

    def deaths(self) -> dict[str, int]:
        """How often a process died that nobody had killed."""
        counts = {row.name: row.restarts - self.killed[row.name] for row in local.status(self.folder)}
        return {name: count for name, count in counts.items() if count}

    def orphans(self) -> list[str]:
        """Processes of this factory that do not descend from its supervisor any more."""
        supervisor = psutil.Process(int((Path(self.stack.run_dir) / "supervisord.pid").read_text()))
        family = {supervisor.pid, *(child.pid for child in supervisor.children(recursive=True))}
        return [f"{pid}: {words}" for pid, words in processes(self.folder).items() if pid not in family]

    def log_tails(self) -> str:
        return "\n\n".join(folder_of(self.folder).log_tail(row.name) for row in local.status(self.folder))


def processes(folder: Path) -> dict[int, str]:
    """All processes that work in the folder or hold its name in their environment, with their command lines."""
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
    """Two of everything and one model."""
    port = free_port()
    settings = SETTINGS.format(
        concurrency=in_flight // WORKERS, window=4 * in_flight, port=port, max_attempts=max_attempts
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
    """The words after `python -m` that start a scripted model in this mood."""
    return ["tests.chaos.model", f"--port={port}", f"--latency={latency}", f"--seed={seed}", f"--mood={mood}"]


def environment(folder: Path) -> dict[str, str]:
    """What a process of the factory in this folder starts with."""
    return {
        "TRACEMILL_DATA_DIR": str(folder / "data"),
        "TRACEMILL_CONFIG": str(folder / "tracemill.toml"),
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def running(folder: Path, settings: str, programs: Callable[[Stack], list[Program]]) -> Iterator[World]:
    """Start it all with empty tables; afterwards not one process is left. `programs`: of a stack whose data services
    answer."""
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
