"""Growth of memory, tables and delays over many questions, with a scripted server in place of the GPU.

Every few seconds it samples the memory of every process, Redis, the feeder's table and the duration of a feeder's step.
`--questions N` replaces 200,000. The picture is `benchmarks/results/soak.svg`, or a temporary file if there are fewer.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import psutil
import redis
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.common import main
from benchmarks.overhead import SETTINGS
from benchmarks.scripted import questions, scripted
from benchmarks.stack import Factory, factory, run_by
from db.session import transaction
from tracemill import stack as local
from tracemill.settings import settings
from tracemill.stack import Program

QUESTIONS, FEW = 200_000, 4_000
PICTURE = Path(__file__).parent / "results" / "soak.svg"
#: Shares of the questions: the end of the warm-up, and two intervals that are compared.
WARM = 0.2
START, END = (0.1, 0.3), (0.75, 0.95)

SIZES = """
select n_dead_tup as dead, pg_table_size(relid) / 1e6 as table_mb, pg_indexes_size(relid) / 1e6 as indexes_mb,
       pg_database_size(current_database()) / 1e6 as database_mb,
       (select n_tup_ins from pg_stat_user_tables where relname = 'verdicts') as verified
from pg_stat_user_tables where relname = 'job_questions'
"""


@dataclass(frozen=True)
class Snapshot:
    """The state of the factory at one moment."""

    at: float
    #: Questions with a verdict so far. Each has one trace.
    verified: int
    #: By process, in MB.
    memory: dict[str, float]
    redis_mb: float
    messages: int
    #: `job_questions`, and the whole database.
    table_mb: float
    indexes_mb: float
    database_mb: float
    dead: int


@dataclass(frozen=True)
class Step:
    """One step of the feeder."""

    at: float
    milliseconds: float
    queued: int


def measure(quick: bool, count: int) -> dict[str, float]:
    count = FEW if quick else count
    every = 2.0 if count >= QUESTIONS else 0.5
    with tempfile.TemporaryDirectory() as folder, scripted(count) as server:
        steps = Path(folder) / "steps"
        toml = SETTINGS.format(url=server.base_url, concurrency=64, window=256)
        with factory(toml, lambda program: timed(program, steps)) as ours:
            problems = questions(count)
            with watching(ours, every) as snapshots:
                seconds = ours.run("soak", problems, samples=1)
            done = [Step(float(at), float(ms), int(n)) for at, ms, n in map(str.split, steps.read_text().splitlines())]
    snapshots = [snapshot for snapshot in snapshots if 0 < snapshot.verified < count]
    draw(PICTURE if count >= QUESTIONS else Path(tempfile.mkdtemp()) / PICTURE.name, snapshots, done)
    return {"questions": count, "questions_per_s": count / seconds, **figures(snapshots, done, count)}


def timed(program: Program, file: Path) -> Program:
    """The program, changed so that the feeder writes its steps to the file."""
    if program.name != "producer":
        return program
    return run_by("benchmarks.timed", file, program)


@contextmanager
def watching(ours: Factory, every: float) -> Iterator[list[Snapshot]]:
    """Take snapshots at intervals until the block ends. Yields them."""
    ended, snapshots = threading.Event(), list[Snapshot]()
    url = settings().redis_url
    assert url is not None
    client = redis.Redis.from_url(url.get_secret_value())

    def watch() -> None:
        while not ended.wait(every):
            with suppress(psutil.Error, OSError, SQLAlchemyError):  # a process started or ended
                snapshots.append(_snapshot(ours, client))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield snapshots
    finally:
        ended.set()
        thread.join()
        client.close()


def _snapshot(ours: Factory, client: "redis.Redis") -> Snapshot:
    with transaction() as connection:
        row = connection.execute(text(SIZES)).one()
    return Snapshot(
        at=time.time(),
        verified=row.verified,
        memory=dict(_memory(ours)),
        redis_mb=client.info("memory")["used_memory"] / 1e6,
        messages=sum(client.llen(key) for key in client.scan_iter(_type="list")),
        table_mb=float(row.table_mb),
        indexes_mb=float(row.indexes_mb),
        database_mb=float(row.database_mb),
        dead=row.dead,
    )


def _memory(ours: Factory) -> Iterator[tuple[str, float]]:
    """MB by process. Postgres's processes count together; the verify worker's children count separately."""
    for row in local.status(ours.folder):
        if row.pid is None:
            continue
        process = psutil.Process(row.pid)
        children = sum(map(anonymous_mb, process.children(recursive=True)))
        if row.name == "verify":
            yield "check children", children
            children = 0.0
        yield row.name, anonymous_mb(process) + children


def anonymous_mb(process: psutil.Process) -> float:
    """The anonymous memory of a process (PSS), which it has allocated.

    It excludes code, which processes share, and Postgres's buffers, which grow to their configured size.
    """
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss_Anon:"))


def figures(snapshots: Sequence[Snapshot], steps: Sequence[Step], count: int) -> dict[str, float]:
    """Growth after the warm-up, and the figures of the start and of the end."""
    warm = [snapshot for snapshot in snapshots if snapshot.verified >= WARM * count]
    results = {}
    for name in warm[-1].memory:
        key = name.replace(" ", "_")
        results[f"{key}_mb"] = warm[-1].memory[name]
        results[f"{key}_mb_per_100k"] = growth(warm, [snapshot.memory[name] for snapshot in warm])
    results["redis_used_mb"] = warm[-1].redis_mb
    results["redis_used_mb_per_100k"] = growth(warm, [snapshot.redis_mb for snapshot in warm])
    results["redis_messages_max"] = max(snapshot.messages for snapshot in snapshots)
    results["dead_rows_max"] = max(snapshot.dead for snapshot in snapshots)
    for name, (low, high) in (("start", START), ("end", END)):
        part = [snapshot for snapshot in snapshots if low * count <= snapshot.verified <= high * count]
        first, last = part[0], part[-1]
        milliseconds = [step.milliseconds for step in steps if first.at <= step.at <= last.at and step.queued]
        results[f"feeder_ms_{name}"] = statistics.median(milliseconds)
        results[f"questions_per_s_{name}"] = (last.verified - first.verified) / (last.at - first.at)
        results[f"indexes_mb_{name}"] = last.indexes_mb
    return results


def growth(snapshots: Sequence[Snapshot], values: Sequence[float]) -> float:
    """The slope of a line through the values at these snapshots, by 100,000 questions."""
    return 1e5 * statistics.linear_regression([snapshot.verified for snapshot in snapshots], values).slope


def draw(path: Path, snapshots: Sequence[Snapshot], steps: Sequence[Step]) -> None:
    """One panel a quantity, over the number of verified questions."""
    import matplotlib
    from matplotlib.figure import Figure

    done = [snapshot.verified / 1000 for snapshot in snapshots]
    between = [(a, b) for a, b in pairwise(snapshots) if b.at > a.at]
    milliseconds = [[step.milliseconds for step in steps if a.at < step.at <= b.at and step.queued] for a, b in between]
    speed = [(b.verified - a.verified) / (b.at - a.at) for a, b in between]
    panels: dict[str, dict[str, Sequence[float]]] = {
        "memory of each process, MB": {
            name: [snapshot.memory[name] for snapshot in snapshots] for name in snapshots[-1].memory
        },
        "questions a second": {"": speed},
        "a step of the feeder, ms (median)": {
            "": [statistics.median(ms) if ms else float("nan") for ms in milliseconds]
        },
        "Redis: memory in use, MB": {"": [snapshot.redis_mb for snapshot in snapshots]},
        "Redis: messages": {"": [snapshot.messages for snapshot in snapshots]},
        "job_questions, MB": {
            "table": [snapshot.table_mb for snapshot in snapshots],
            "indexes": [snapshot.indexes_mb for snapshot in snapshots],
        },
        "job_questions: dead rows, thousands": {"": [snapshot.dead / 1000 for snapshot in snapshots]},
        "the whole database, MB": {"": [snapshot.database_mb for snapshot in snapshots]},
    }
    with matplotlib.rc_context(
        {"svg.hashsalt": "tracemill", "svg.fonttype": "none", "font.size": 9, "axes.titlesize": 10}
    ):
        figure = Figure(figsize=(11, 11), layout="constrained")
        axes = figure.subplots(4, 2, sharex=True)
        for panel in axes[-1]:
            panel.set_xlabel("thousand questions verified")
        for panel, (title, lines) in zip(axes.flat, panels.items(), strict=True):
            for name, values in lines.items():
                panel.plot(done[-len(values) :], values, linewidth=1.2, label=name)
            panel.set_title(title, loc="left")
            panel.set_ylim(0, 1.35 * panel.get_ylim()[1])
            panel.grid(alpha=0.25)
            if len(lines) > 1:
                panel.legend(frameon=False, fontsize=8, ncols=3, loc="upper left", columnspacing=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})
    print(f"picture: {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    options, sys.argv[1:] = parser.parse_known_args()
    main("soak", partial(measure, count=options.questions))
