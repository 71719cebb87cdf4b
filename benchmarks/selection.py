"""Selection of 100,000 traces from 2,000,000, rendered exactly as in training.

The benchmark measures `tracemill train ROUND.toml --dry-run` in a process of its own, including its start. Postgres
itself generates the questions, the traces and their verdicts.
"""

import json
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from benchmarks.common import main, peak_rss_mb
from benchmarks.stack import cpu_seconds, factory
from db.jobs import JobSpec, one_prompt, open_job
from db.migrate import prepare
from db.queries import Q
from db.session import statement, transaction
from tracemill import stack as local
from tracemill.errors import StackError
from tracemill.interpreter import python
from tracemill.policy import Policy
from tracemill.prompts import Prompt
from tracemill.sampling import Sampling
from tracemill.settings import settings
from tracemill.weights import resolve
from trainer.select.choose import parameters
from trainer.spec import RoundSpec, load

SETTINGS = """
[models.student]
vllm.adapters = true

[local]
generate = []
judge = ""
train = false
flower = false
"""
ROUND = """
name = "measured"

[select]
jobs = {jobs}
at_least = {{ steps = 2 }}
balance = 0.5
limit = {limit}

[fit]
max_tokens = 512

[evaluate]
jobs = ["before"]
"""
ASK = Prompt(({"role": "system", "content": "Think step by step."}, {"role": "user", "content": "{question}"}))
JOBS, SAMPLES, EVALUATED = 10, 8, 2000
POLL_SECONDS = 0.02

#: The text of question number n. The numbers of the evaluation's questions start at 0.
QUESTION = """format(
    'A baker has %s loaves on the shelf. In the morning she bakes %s more and puts them beside the others, and then '
    'she sells %s of them to a school. How many loaves are on the shelf now?', n % 997 + 400, n / 997, n % 313
)"""
QUESTIONS = f"""
insert into questions (content_hash, fingerprint, dataset, domain, question)
select md5(:dataset || n), md5('words ' || n), :dataset, 'math', {QUESTION}
from generate_series(cast(:first as bigint), :last) n
"""
JOB_QUESTIONS = """
insert into job_questions (job_id, question_id, wanted, state, settled, accepted)
select :job, id, :samples, 'done', :samples, case when :samples = 1 then 1 else hashint8(id) & 7 end
from questions where dataset = :dataset
"""
TRACES = """
with made as (
    insert into traces (job_id, question_id, sample_index, prompt_hash, text, reasoning, answer, answer_form, steps,
                        tokens_in, tokens_out, finish_reason, latency_seconds, worker)
    select jq.job_id, q.id, i, :prompt,
           format('We begin with what is on the shelf, which is %s loaves, as the question says.\n', q.id % 997 + 400)
               || repeat(format('Then we take the next change and write %s + %s = %s for it.\n', q.id, i, q.id + i),
                         (2 + (q.id + i) % 5)::int)
               || format('The answer is %s.', q.id + i),
           '', (q.id + i)::text, 'stated', '[]', 60, 40 + 30 * ((q.id + i) % 5), 'stop', 1, 'benchmark'
    from job_questions jq join questions q on q.id = jq.question_id, generate_series(0, :samples - 1) i
    where jq.job_id = :job
    returning id, question_id, sample_index, tokens_out
)
insert into verdicts (trace_id, verifier, correct, equations_checked, equations_false, steps, signals, findings,
                      accepted, seconds)
select id, 'checks', is_right, 3, 0, 2 + (tokens_out - 40) / 30, '{}', '[]', is_right, 0
from made, lateral (select sample_index < hashint8(question_id) & 7 as is_right) r
"""


def measure(quick: bool) -> dict[str, float]:
    each, limit = (2_500, 10_000) if quick else (25_000, 100_000)
    with factory(SETTINGS) as ours:
        local.up(ours.folder, lambda _: [], prepare=prepare)  # Postgres and Redis alone
        resolve(settings().models["student"].model, settings().data_dir)  # unpacked before the measurement
        jobs = _made_up(each)
        file = ours.folder / "round.toml"
        file.write_text(ROUND.format(jobs=json.dumps(jobs), limit=limit))
        print(plan(load(file)))
        before = sum(ours.cpu().values())
        figures = dry_run(file)
        figures["cpu_seconds"] += sum(ours.cpu().values()) - before
        file.write_text(ROUND.format(jobs=json.dumps(jobs[:1]), limit=limit))
        print(plan(load(file)))
    return figures


def dry_run(file: Path) -> dict[str, float]:
    """Figures of one `tracemill train --dry-run` in a process of its own. Raises StackError if it fails."""
    start, peak, cpu = time.monotonic(), 0.0, 0.0
    command = python("cli", "train", str(file), "--dry-run", "--json")
    with file.with_suffix(".json").open("w+") as out, subprocess.Popen(command, stdout=out) as process:
        while process.poll() is None:
            peak = max(peak, peak_rss_mb(process.pid))
            with suppress(psutil.NoSuchProcess):
                cpu = max(cpu, cpu_seconds(psutil.Process(process.pid)))
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - start
        if process.returncode != 0:
            raise StackError(f"the dry run ended with {process.returncode}")
        out.seek(0)
        preview = json.load(out)
    selection = preview["selection"]
    print(json.dumps({**selection, "tokens": preview["tokens"]}))
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_rss_mb": peak,
        "traces": selection["traces"],
        "examples": selection["examples"],
    }


def plan(spec: RoundSpec) -> str:
    """Postgres's plan of the filter, with its indexes."""
    with transaction() as connection:
        connection.execute(Q["create_candidates"])
        explained = text("explain (costs off) " + Q["fill_candidates"].text)
        return "\n".join(connection.execute(explained, parameters(connection, spec)).scalars())


def _made_up(each: int) -> list[str]:
    """Store jobs of `each` questions × 8 traces, and an evaluation that overlaps some. Returns the jobs' names."""
    start = time.monotonic()
    names = []
    first = EVALUATED // 2
    for number in range(JOBS):
        names.append(f"teach-{number}")
        _job(names[-1], first + number * each, first + (number + 1) * each - 1, SAMPLES)
    _job("before", 0, EVALUATED - 1, 1)
    with statement() as connection:
        for table in ("questions", "job_questions", "traces", "verdicts"):
            connection.execute(text(f"vacuum analyze {table}"))
    print(f"{JOBS * each * SAMPLES:,} traces made up in {time.monotonic() - start:.0f} s")
    return names


def _job(name: str, first: int, last: int, samples: int) -> None:
    teach = samples > 1
    spec = JobSpec(
        name=name,
        purpose="teach" if teach else "evaluate",
        model="teacher" if teach else "student",
        method="cot",
        prompts=one_prompt(ASK),
        samples=samples,
        sampling=Sampling(),
        policy=Policy(),
        source="benchmark",
    )
    values: dict[str, Any] = {"dataset": name, "first": first, "last": last, "samples": samples, "prompt": ASK.hash}
    with transaction() as connection:
        values["job"] = open_job(connection, spec)
        for each in (QUESTIONS, JOB_QUESTIONS, *((TRACES,) if teach else ())):
            connection.execute(text(each), values)
        connection.execute(Q["job_filled"], {"job_id": values["job"]})


if __name__ == "__main__":
    main("selection", measure)
