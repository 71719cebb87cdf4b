"""The queue with 10, 100 and 1,000 generate processes and twice as many verifiers: what grows with their number?

The processes are simulated (`benchmarks/simulated.py`). Postgres, Redis, the feeder, the statements and the checks of
traces are real. The engines of each fleet can answer the same number of questions a second. Generate processes are
killed and replaced, and processes are frozen for longer than their lease. `--questions N` replaces 1,000,000.
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Row, text

from benchmarks.common import main
from benchmarks.simulated import Fleet
from benchmarks.soak import Step, timed
from benchmarks.stack import Factory, factory
from db import session
from db.session import engine, transaction
from producer.sources import Question

QUESTIONS, FEW = 1_000_000, 1_500
SIZES = (10, 100, 1_000)
#: Threads for statements, and for heartbeats, which must not wait for them. Each has a connection.
STATEMENTS, BEATS = 11, 4

SETTINGS = """
[feeder]
running_lease_seconds = {lease}
queued_lease_seconds = {message_lease}
verify_lease_seconds = {message_lease}
[local]
generate = []
judge = ""
train = false
flower = false
[models.teacher]
engine = "openai"
model = "scripted"
openai.base_url = "http://127.0.0.1:9/v1"
"""

#: Write-ahead log and row versions so far.
WRITTEN = """
select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float as wal, sum(n_tup_upd + n_tup_del)::float as dead,
       sum(n_tup_hot_upd)::float as hot
from pg_stat_user_tables
"""
#: The questions without exactly one trace and one verdict, and the seconds until the first nine tenths were settled.
RESULT = """
with visits as (
    select q.question_id, q.updated_at, j.created_at, count(distinct t.id) as traces, count(v.id) as verdicts
    from jobs j join job_questions q on q.job_id = j.id
    left join traces t on t.job_id = j.id and t.question_id = q.question_id left join verdicts v on v.trace_id = t.id
    where j.name = :job group by 1, 2, 3
)
select count(*) filter (where traces = 0 or verdicts < traces) as lost,
       count(*) filter (where traces > 1 or verdicts > traces) as repeated,
       extract(epoch from percentile_disc(0.9) within group (order by updated_at) - min(created_at))::float as seconds
from visits
"""


def measure(quick: bool, count: int) -> dict[str, float]:
    count = FEW if quick else count
    session.MAX_CONNECTIONS = STATEMENTS + BEATS + 1  # of this process, which plays a whole fleet
    figures: dict[str, float] = {"questions": count}
    toml = SETTINGS.format(lease=3.0 if quick else 30.0, message_lease=6.0 if quick else 120.0)
    with tempfile.TemporaryDirectory() as folder:
        steps = Path(folder) / "steps"
        with factory(toml, lambda program: timed(program, steps) if program.name == "producer" else None) as ours:
            for size in SIZES[:2] if quick else SIZES:
                measured = _measure(ours, size, count, steps)
                print(
                    f"{size} processes: {' '.join(f'{name} {value:,.4g}' for name, value in measured.items())}",
                    flush=True,
                )
                figures |= {f"{name}_{size}": value for name, value in measured.items()}
    return figures


def _measure(ours: Factory, size: int, count: int, steps: Path) -> dict[str, float]:
    """The figures of one job that a fleet of `size` generate processes answers."""
    job, start, before, cpu = f"fleet-{size}", time.time(), _written(), ours.cpu()
    with ThreadPoolExecutor(STATEMENTS) as statements, ThreadPoolExecutor(BEATS) as beats:
        fleet = Fleet(size, statements, beats)
        with fleet.working():
            ours.finish(job, _problems(size, count), samples=1)
    engine().dispose()  # Postgres counts the changes of a session at its end
    after, spent = _written(), ours.cpu()
    with transaction() as connection:
        connection.execute(text("delete from processes where kind <> 'producer'"))
        result = connection.execute(text(RESULT), {"job": job}).one()
    lines = steps.read_text().splitlines()
    all_steps = (Step(float(at), float(ms), int(n)) for at, ms, n in map(str.split, lines))
    done = [step for step in all_steps if step.queued and step.at > start]
    ms_per_question = 1000 * result.seconds / (0.9 * count)
    return {
        "lost": result.lost,
        "repeated": result.repeated,
        "killed": fleet.counts["killed"],
        "frozen": fleet.counts["frozen"],
        "asked_again": fleet.counts["asked"] - count,
        "visits_cut_off": fleet.counts["cut off"],
        "ms_per_question": ms_per_question,
        "claims_per_s": 1000 / ms_per_question * fleet.counts["claimed"] / count,
        "postgres_ms_per_question": 1000 * (spent["postgres"] - cpu["postgres"]) / count,
        "feeder_cpu_ms_per_question": 1000 * (spent["producer"] - cpu["producer"]) / count,
        "connections": fleet.max_connections,
        "wal_bytes_per_question": (after.wal - before.wal) / count,
        "dead_rows_per_question": (after.dead - before.dead) / count,
        "hot_updates_per_question": (after.hot - before.hot) / count,
        "feeder_ms": statistics.median(step.milliseconds for step in done),
        "feeder_ms_max": max(step.milliseconds for step in done),
        "feeder_questions_per_s": 1000 * sum(step.queued for step in done) / sum(step.milliseconds for step in done),
    }


def _problems(size: int, count: int) -> list[Question]:
    """Different sums for each fleet."""
    texts = ((a, b) for a, b in (divmod(size * 10_000_000 + n, 1_000) for n in range(count)))
    return [
        Question(
            f"A baker has {a} loaves on the shelf. In the morning she bakes {b} more and puts them beside the others. "
            "How many loaves are on the shelf now?",
            str(a + b),
            None,
            None,
            {},
            None,
        )
        for a, b in texts
    ]


def _written() -> Row[Any]:
    with transaction() as connection:
        return connection.execute(text(WRITTEN)).one()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    options, sys.argv[1:] = parser.parse_known_args()
    main("fleet", partial(measure, count=options.questions))
