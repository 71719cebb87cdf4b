"""Does anything grow? Many questions through the whole path in one go, with a scripted server in the GPU's place.

Every few seconds: the memory of every process, Redis, the table that the feeder works on, and what a step of the feeder
takes. `--questions N` in place of 200,000. The picture is `benchmarks/results/soak.svg`, or a temporary file if fewer.
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
#: Shares of the questions: what comes before is warm-up, and two stretches that are compared.
WARM = 0.2
START, END = (0.1, 0.3), (0.75, 0.95)

SIZES = """
select n_dead_tup as dead, pg_table_size(relid) / 1e6 as table_mb, pg_indexes_size(relid) / 1e6 as indexes_mb,
       pg_database_size(current_database()) / 1e6 as database_mb,
       (select n_tup_ins from pg_stat_user_tables where relname = 'verdicts') as verified
from pg_stat_user_tables where relname = 'job_questions'
"""


@dataclass(frozen=True)
class Look:
    """How things are at one moment."""

    at: float
    #: Questions with their verdict so far: one trace each.
    verified: int
    #: By process, in MB.
    memory: dict[str, float]
    redis_mb: float
    messages: int
    #: `job_questions`, and everything.
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
            asked = questions(count)
            with looking(ours, every) as looks:
                seconds = ours.run("soak", asked, samples=1)
            done = [Step(float(at), float(ms), int(n)) for at, ms, n in map(str.split, steps.read_text().splitlines())]
    looks = [look for look in looks if 0 < look.verified < count]
    draw(PICTURE if count >= QUESTIONS else Path(tempfile.mkdtemp()) / PICTURE.name, looks, done)
    return {"questions": count, "questions_per_s": count / seconds, **figures(looks, done, count)}


def timed(program: Program, file: Path) -> Program:
    """The feeder leaves its steps in the file."""
    if program.name != "producer":
        return program
    return run_by("benchmarks.timed", file, program)


@contextmanager
def looking(ours: Factory, every: float) -> Iterator[list[Look]]:
    """Look at everything again and again until the block ends; yields the looks."""
    ended, looks = threading.Event(), list[Look]()
    url = settings().redis_url
    assert url is not None
    client = redis.Redis.from_url(url.get_secret_value())

    def look() -> None:
        while not ended.wait(every):
            with suppress(psutil.Error, OSError, SQLAlchemyError):  # a process came or went
                looks.append(_look(ours, client))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        ended.set()
        thread.join()
        client.close()


def _look(ours: Factory, client: "redis.Redis") -> Look:
    with transaction() as connection:
        row = connection.execute(text(SIZES)).one()
    return Look(
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
    """MB by process; those of Postgres together, and the verify worker's children."""
    for row in local.status(ours.folder):
        if row.pid is None:
            continue
        process = psutil.Process(row.pid)
        children = sum(map(own_mb, process.children(recursive=True)))
        if row.name == "verify":
            yield "check children", children
            children = 0.0
        yield row.name, own_mb(process) + children


def own_mb(process: psutil.Process) -> float:
    """The anonymous memory of a process (PSS): what it has allocated. Without code, which it shares with whoever else
    runs, and without Postgres's buffers, which fill up to the size that is set."""
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss_Anon:"))


def figures(looks: Sequence[Look], steps: Sequence[Step], count: int) -> dict[str, float]:
    """Growth after the warm-up, and the start beside the end."""
    warm = [look for look in looks if look.verified >= WARM * count]
    found = {}
    for name in warm[-1].memory:
        key = name.replace(" ", "_")
        found[f"{key}_mb"] = warm[-1].memory[name]
        found[f"{key}_mb_per_100k"] = growth(warm, [look.memory[name] for look in warm])
    found["redis_used_mb"] = warm[-1].redis_mb
    found["redis_used_mb_per_100k"] = growth(warm, [look.redis_mb for look in warm])
    found["redis_messages_max"] = max(look.messages for look in looks)
    found["dead_rows_max"] = max(look.dead for look in looks)
    for name, (low, high) in (("start", START), ("end", END)):
        part = [look for look in looks if low * count <= look.verified <= high * count]
        first, last = part[0], part[-1]
        taken = [step.milliseconds for step in steps if first.at <= step.at <= last.at and step.queued]
        found[f"feeder_ms_{name}"] = statistics.median(taken)
        found[f"questions_per_s_{name}"] = (last.verified - first.verified) / (last.at - first.at)
        found[f"indexes_mb_{name}"] = last.indexes_mb
    return found


def growth(looks: Sequence[Look], values: Sequence[float]) -> float:
    """The slope of a line through the values at these looks, by 100,000 questions."""
    return 1e5 * statistics.linear_regression([look.verified for look in looks], values).slope


def draw(path: Path, looks: Sequence[Look], steps: Sequence[Step]) -> None:
    """One panel a quantity, over the questions that were verified."""
    import matplotlib
    from matplotlib.figure import Figure

    done = [look.verified / 1000 for look in looks]
    between = [(a, b) for a, b in pairwise(looks) if b.at > a.at]
    took = [[step.milliseconds for step in steps if a.at < step.at <= b.at and step.queued] for a, b in between]
    speed = [(b.verified - a.verified) / (b.at - a.at) for a, b in between]
    panels: dict[str, dict[str, Sequence[float]]] = {
        "memory of each process, MB": {name: [look.memory[name] for look in looks] for name in looks[-1].memory},
        "questions a second": {"": speed},
        "a step of the feeder, ms (median)": {"": [statistics.median(ms) if ms else float("nan") for ms in took]},
        "Redis: memory in use, MB": {"": [look.redis_mb for look in looks]},
        "Redis: messages": {"": [look.messages for look in looks]},
        "job_questions, MB": {
            "table": [look.table_mb for look in looks],
            "indexes": [look.indexes_mb for look in looks],
        },
        "job_questions: dead rows, thousands": {"": [look.dead / 1000 for look in looks]},
        "the whole database, MB": {"": [look.database_mb for look in looks]},
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
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--questions", type=int, default=QUESTIONS)
    options, sys.argv[1:] = own.parse_known_args()
    main("soak", partial(measure, count=options.questions))
