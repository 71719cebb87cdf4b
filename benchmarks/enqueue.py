"""Enqueue of a million questions: its speed and memory, Redis meanwhile, and the duration of a feeder's step.

`tracemill enqueue` reads a JSONL file in a process of its own while a feeder runs. Then another job's enqueue is killed
three times and run again. Workers are not measured: a thread takes their messages and marks the questions done, so that
the feeder always has questions to queue.
"""

import json
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import redis
from sqlalchemy import text

from benchmarks.common import main, peak_rss_mb
from benchmarks.stack import Factory, factory, scalar
from db.migrate import prepare
from db.session import transaction
from producer.feeder import step
from tracemill import stack as local
from tracemill.celery import app
from tracemill.errors import StackError
from tracemill.interpreter import python
from tracemill.queues import generate_queue
from tracemill.settings import settings
from tracemill.stack.programs import programs

SETTINGS = """
[local]
generate = []
judge = ""
train = false
flower = false
"""

KILLED_AT = (0.25, 0.5, 0.75)
#: Measured steps of the feeder for each job, and the turns into which they are split.
STEPS, TURNS = 60, 6
#: Questions that are settled between two steps. The next step replaces them.
HANDFUL = 8
POLL_SECONDS = 0.02
#: The substitute for workers settles this number of questions at this interval: 320 a second.
N_SETTLED, SETTLE_SECONDS = 32, 0.1


class Run(NamedTuple):
    """The resources that an enqueue process used, and its exit code."""

    seconds: float
    peak_rss_mb: float
    code: int


def measure(quick: bool) -> dict[str, float]:
    count = 20_000 if quick else 1_000_000
    with factory(SETTINGS) as ours:
        app.conf.broker_url = _redis_url()
        file = write_problems(ours.folder.parent / "problems.jsonl", count)
        _run_only(ours)
        enqueued(file, "small", limit=1_000)
        _set("small", "paused")
        _run_only(ours, "producer")
        with substitute_workers() as message_counts:
            done = enqueued(file, "measured")
        _run_only(ours)
        _set("measured", "paused")
        at_1k, at_1m = _step_ms("small", "measured")
        _run_only(ours, "producer")
        with substitute_workers() as later_counts:
            for share in KILLED_AT:
                enqueued(file, "killed", kill_at=int(share * count))
            enqueued(file, "killed")
        rows = stored("killed")
        questions = scalar("select count(*) from questions where dataset = 'killed'")
    return {
        "questions_per_s": count / done.seconds,
        "peak_rss_mb": done.peak_rss_mb,
        "redis_messages_max": max(*message_counts, *later_counts),
        "feeder_ms_at_1k": at_1k,
        "feeder_ms_at_1m": at_1m,
        "rows_after_kills": rows,
        "questions_after_kills": questions,
    }


def write_problems(file: Path, count: int) -> Path:
    """A JSONL file of `count` short word problems, all different."""
    with file.open("w", encoding="utf-8") as out:
        for n in range(count):
            baked, bought = divmod(n, 1000)
            question = (
                f"A baker has {baked} loaves on the shelf. In the morning she bakes {bought} more and puts them beside "
                "the others. How many loaves are on the shelf now?"
            )
            out.write(json.dumps({"question": question, "answer": str(baked + bought)}) + "\n")
    return file


def enqueued(file: Path, job: str, *, limit: int | None = None, kill_at: int | None = None) -> Run:
    """Run `tracemill enqueue` to its end, or kill it when `kill_at` rows are stored.

    Raises StackError if it fails, or ends before the kill.
    """
    words = ["--name", job, "--dataset", job, *(["--limit", str(limit)] if limit else [])]
    start, peak = time.monotonic(), 0.0
    with subprocess.Popen(python("cli", "enqueue", str(file), *words), stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            peak = max(peak, peak_rss_mb(process.pid))
            if kill_at is not None and stored(job) >= kill_at:
                process.kill()
            time.sleep(POLL_SECONDS)
    done = Run(time.monotonic() - start, peak, process.returncode)
    if done.code != (0 if kill_at is None else -9):
        raise StackError(f"enqueue of {job} ended with {done.code}")
    print(f"{job}: {stored(job):,} rows after {done.seconds:.1f} s, {'killed' if done.code else 'complete'}")
    return done


def stored(job: str) -> int:
    """Rows of the job so far."""
    return int(
        scalar("select count(*) from job_questions where job_id = (select id from jobs where name = :job)", job=job)
    )


@contextmanager
def substitute_workers() -> Iterator[list[int]]:
    """Take messages and mark queued questions done. Yields the number of messages at each interval."""
    stopped, message_counts = threading.Event(), [0]

    def work() -> None:
        with redis.Redis.from_url(_redis_url()) as client:
            client.delete(generate_queue("teacher"))
            while not stopped.wait(SETTLE_SECONDS):
                message_counts.append(sum(cast(int, client.llen(key)) for key in client.scan_iter(_type="list")))
                client.rpop(generate_queue("teacher"), N_SETTLED)
                _settle(N_SETTLED)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield message_counts
    finally:
        stopped.set()
        thread.join()


def _settle(max_questions: int) -> None:
    """Mark queued questions of jobs that are not paused as done, at most `max_questions`."""
    with transaction() as connection:
        connection.execute(
            text(
                "update job_questions set state = 'done', lease_until = null where (job_id, question_id) in "
                "(select q.job_id, q.question_id from jobs j join job_questions q on q.job_id = j.id "
                "where j.state <> 'paused' and q.state = 'queued' limit :max_questions)"
            ),
            {"max_questions": max_questions},
        )


def _step_ms(*jobs: str) -> list[float]:
    """Median milliseconds of a feeder's step that replaces `HANDFUL` questions, for each paused job.

    The jobs take turns, so that other load on the machine affects all of them equally.
    """
    limits, milliseconds = settings().feeder, {job: list[float]() for job in jobs}
    for turn in range(TURNS):
        for job in jobs:
            _set(job, "running")
            while turn == 0 and step(limits).queued:
                pass
            for _ in range(STEPS // TURNS):
                _settle(HANDFUL)
                start = time.perf_counter()
                queued = step(limits).queued
                milliseconds[job].append(1000 * (time.perf_counter() - start))
                if queued != HANDFUL:
                    raise StackError(
                        f"a step queued {queued} questions of {job} in turn {turn}, but {HANDFUL} were settled"
                    )
            _set(job, "paused")
    return [statistics.median(milliseconds[job]) for job in jobs]


def _set(job: str, state: str) -> None:
    with transaction() as connection:
        connection.execute(text("update jobs set state = :state where name = :job"), {"job": job, "state": state})


def _run_only(ours: Factory, *names: str) -> None:
    """Run only these programs of the factory, with Postgres and Redis."""
    local.up(ours.folder, lambda stack: [each for each in programs(stack) if each.name in names], prepare=prepare)


def _redis_url() -> str:
    url = settings().redis_url
    assert url is not None
    return url.get_secret_value()


if __name__ == "__main__":
    main("enqueue", measure)
