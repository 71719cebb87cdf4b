"""The installed command shows names and figures of a real database whole in 80 and in 60 columns.

In 60 columns it also runs without colour and in the C locale, in a folder that nobody can write to, and with a data
folder whose name has spaces and umlauts.
"""

import json
import os
import re
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
    change(
        "update rounds set state = 'failed', finished_at = now(), error = 'the disk is full', "
        'metrics = \'{"seconds": 512.34567, "loss": [2.5, 1.25]}\''
    )
    change(EVALUATIONS, benchmark=JOB)
    change("delete from processes")
    change(PROCESSES, name=PROCESS)
    yield
    change("delete from processes")


def run(width: int, *words: str, folder: Path | None = None, data_dir: Path | None = None, **environment: str) -> str:
    places = {"TRACEMILL_DATA_DIR": str((data_dir or settings().data_dir).absolute()), "COLUMNS": str(width)}
    done = subprocess.run(
        [Path(sys.executable).with_name("tracemill"), *words],
        env=os.environ | places | environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        timeout=60,
    )
    assert "error" not in done.stderr, done.stderr
    return done.stdout


#: A folder that no user can write to, not even root.
READ_ONLY = Path("/proc")


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("jobs", [JOB, "cancelled", "traces", "accepted"]),
        ("jobs watch", [JOB, "cancelled", "2 (67%)"]),
        (f"jobs show {JOB}", [JOB, str(3 * TOKENS), "accepted when"]),
        ("rounds", [ROUND, "failed", "the disk is full"]),
        (f"rounds show {ROUND}", [ROUND, JOB, "1319", "78.5 [72.1, 83.9]", "metrics.seconds", "512.3"]),
        ("status", ["postgres", "redis", "RUNNING", "restarts"]),
        ("health", [PROCESS, "postgres", "generate.teacher-70b-instruct"]),
        ("sql", [JOB, str(3 * TOKENS), "tokens_out", "failed"]),
        ("config", ["models.teacher.vllm.max_model_len", "feeder.running_lease_seconds", "default"]),
        ("methods", ["rationalize", "Zelikman"]),
        ("loops", []),
    ],
    ids=lambda value: value.split(" g")[0].split(" l")[0] if isinstance(value, str) else "",
)
def test_commands_show_names_and_figures_whole(
    factory: None, width: int, command: str, words: list[str], tmp_path: Path
) -> None:
    query = ["select * from job_progress"] if command == "sql" else []
    arguments = [*command.split(), *query]
    if width == 80:
        out = run(width, *arguments)
    else:
        data_dir = tmp_path / "Räume für Spuren"
        data_dir.symlink_to(settings().data_dir.absolute())
        out = run(width, *arguments, folder=READ_ONLY, data_dir=data_dir, LC_ALL="C", NO_COLOR="1")
    assert [word for word in words if word not in out] == []
    assert "…" not in out
    tables = [line for line in out.splitlines() if not line.startswith(("logs: ", f"{JOB}: "))]
    assert max(map(len, tables)) <= width


def test_json_is_one_line_at_every_width(factory: None) -> None:
    assert json.loads(run(60, "jobs", "list", "--json"))[0]["job"] == JOB


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_tables_of_its_characters(factory: None, encoding: str) -> None:
    change("update rounds set error = 'kein Platz für 漢字'")
    out = run(80, "rounds", PYTHONIOENCODING=encoding)
    assert "kein Platz f" in out


FIGURES = """
select 6 / 29.0 as share, 22020.4::float8 as tokens, 0::numeric(30, 20) as cost, interval '873 seconds' as wait,
       '{"rating": 0.66666666, "uninformative": ["rating"]}'::jsonb as signals
"""


def test_sql_rounds_figures_for_people_and_keeps_them_exact_in_json(factory: None) -> None:
    out = run(80, "sql", FIGURES)
    assert [
        word for word in ("0.2069 ", "22020 ", " 0 ", "14 min 33 s", "rating 0.6667, uninformative") if word not in out
    ] == []
    assert not {"{", "E-20", "e+04"} & set(out.split())
    (row,) = json.loads(run(80, "sql", "--json", FIGURES))
    assert row["share"] == pytest.approx(6 / 29, abs=1e-15)
    assert row["signals"] == {"rating": 0.66666666, "uninformative": ["rating"]}


def test_uptime_has_units_for_people_and_is_exact_in_json(factory: None) -> None:
    assert re.search(r"RUNNING +│ +\d+ +│ +(\d+\.\d s|\d+ s|\d+ min \d+ s|\d+ h \d+ min)", run(80, "status"))
    assert isinstance(json.loads(run(80, "status", "--json"))[0]["uptime"], float)
