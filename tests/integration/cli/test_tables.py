"""The installed command shows names and figures of a real database whole in 80 and in 60 columns."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.session import transaction
from tests.integration.factory import change
from tests.integration.rounds import finish, job, new_round, question, round_spec, trace
from tracemill.settings import settings
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

JOB = "gsm8k-train-teacher-rationalize-2"
ROUND = "llama-distilled-without-filter-17"
PROCESS = "generate.4194304@gpu-worker-7f9c4d5b6-x2x9z"
TOKENS = 1_234_567_890

PROCESSES = """
insert into processes (name, kind, host, leads, queues, concurrency)
values (:name, 'generate', 'gpu-worker', false, '["generate.teacher-70b-instruct", "verify.teacher-70b-instruct"]', 64)
"""
EVALUATIONS = """
insert into evaluations (round_id, job_id, benchmark, stage, questions, correct, correct_strict, accuracy, low, high,
                         tokens_out)
select rounds.id, jobs.id, :benchmark, 'after', 1319, 1036, 1000, 0.785, 0.721, 0.839, 1234.5 from rounds, jobs
"""


@pytest.fixture
def factory(clean: Stack) -> Iterator[None]:
    """A cancelled job and a failed round, both with long names, and a worker with a heartbeat."""
    with transaction() as connection:
        questions = [question(connection, f"What is {n} + 1?") for n in range(3)]
        job_id = job(connection, JOB, questions)
        for number, question_id in enumerate(questions):
            trace(connection, job_id, question_id, "The answer is 1.", accepted=number > 0)
        finish(connection, job_id)
        for name in (ROUND, "short"):
            new_round(connection, round_spec(name))
    change("update traces set tokens_out = :tokens", tokens=TOKENS)
    change("update jobs set state = 'cancelled', finished_at = null")
    change("update rounds set state = 'failed', finished_at = now(), error = 'the disk is full'")
    change(EVALUATIONS, benchmark=JOB)
    change("delete from processes")
    change(PROCESSES, name=PROCESS)
    yield
    change("delete from processes")


def run(width: int, *words: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("tracemill"), *words],
        env={**os.environ, "COLUMNS": str(width), "TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "error" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("jobs", [JOB, "teach", "cancelled", str(3 * TOKENS), "questions"]),
        ("jobs watch", [JOB, "cancelled", "2 (67%)", "traces/s"]),
        (f"jobs show {JOB}", [JOB, str(3 * TOKENS), "accepted when"]),
        ("rounds", [ROUND, "failed", "the disk is full"]),
        (f"rounds show {ROUND}", [ROUND, JOB, "1319", "78.5 [72.1, 83.9]"]),
        ("status", ["postgres", "redis", "RUNNING", "restarts"]),
        ("health", [PROCESS, "postgres", "generate.teacher-70b-instruct"]),
        ("sql", [JOB, str(3 * TOKENS), "tokens_out", "failed"]),
    ],
    ids=lambda value: value.split(" g")[0].split(" l")[0] if isinstance(value, str) else "",
)
def test_commands_show_names_and_figures_whole(factory: None, width: int, command: str, words: list[str]) -> None:
    query = ["select * from job_progress"] if command == "sql" else []
    out = run(width, *command.split(), *query)
    assert [word for word in words if word not in out] == []
    assert "…" not in out
    tables = [line for line in out.splitlines() if not line.startswith(("logs: ", f"{JOB}: "))]
    assert max(map(len, tables)) <= width


def test_json_is_one_line_at_every_width(factory: None) -> None:
    assert json.loads(run(60, "jobs", "list", "--json"))[0]["job"] == JOB
