"""A cancelled job: requests to its teacher and its judge are aborted, and complete answers are stored."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.integration.factory import additions, change, fill, rows, states, value, wait_until
from tests.integration.feeding import step
from tests.integration.visits import in_this_process
from tests.scripted_server import Fault, ScriptedServer
from tracemill.methods import named, prompts
from tracemill.policy import Policy
from tracemill.sampling import Sampling
from tracemill.settings import settings
from tracemill.stack import Stack
from workers.generate import generate
from workers.verify import verify

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def teacher() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: "1 + 1 = 2. The answer is 2.") as server:
        yield server


@pytest.fixture
def database(clean: Stack, teacher: ScriptedServer, tmp_path: Path) -> Iterator[Stack]:
    teacher.requests.clear()
    with in_this_process(clean, teacher, tmp_path) as stack:
        yield stack


def cancel_during(job_id: int, teacher: ScriptedServer, n_requests: int) -> float:
    """Cancel the job when the server has that many requests; return the seconds until its visit has ended."""
    visit = threading.Thread(target=generate, args=(job_id, [1]))
    visit.start()
    wait_until(lambda: len(teacher.requests) == n_requests, 20)
    started = time.monotonic()
    assert CliRunner().invoke(app, ["jobs", "cancel", "doomed"]).exit_code == 0
    visit.join(20)
    assert not visit.is_alive()
    return time.monotonic() - started


def test_cancelling_a_job_aborts_its_requests(database: Stack, teacher: ScriptedServer) -> None:
    job_id = fill(additions(2), "doomed").job_id
    step(settings().feeder)
    teacher.faults = iter([Fault.HANGS])
    assert cancel_during(job_id, teacher, 1) < 10
    assert states("doomed") == {"pending": 2}
    assert rows("select distinct attempts, owner, last_error from job_questions") == [(0, None, None)]
    generate(job_id, [2])
    assert len(teacher.requests) == 1


def test_the_complete_answers_of_a_cancelled_job_are_stored(database: Stack, teacher: ScriptedServer) -> None:
    spec = {"method": "refine", "prompts": prompts(named("refine"), ()), "sampling": Sampling(max_tokens=12)}
    job_id = fill(additions(1), "doomed", samples=2, budget=1e6, budget_unit="tokens", **spec).job_id
    step(settings().feeder)
    # The first call answers both samples. Then one chain is completed, and the other one waits for its last answer.
    calls = len(next(iter(prompts(named("refine"), ())["general"].values())))
    teacher.faults = iter([*([None] * (2 * (calls - 1))), Fault.HANGS])  # type: ignore[list-item]
    cancel_during(job_id, teacher, 1 + 2 * (calls - 1))
    assert value("select count(*) from traces") == 1
    assert value("select spent from job_progress") > value("select sum(tokens_out) from traces")
    assert states("doomed") == {"pending": 1}


@pytest.fixture
def judged(database: Stack, teacher: ScriptedServer) -> int:
    """A job of three questions, each with a trace that waits for the judge. Its canaries are stored."""
    job_id = fill(additions(3), "doomed", samples=1, policy=Policy(judge="student", judge_refused=True)).job_id
    step(settings().feeder)
    for question_id in (1, 2, 3):
        generate(job_id, [question_id])
    change("insert into canaries (job_id, name, attack, plain, attacked, fooled) "
           "values (:job, 'sum', 'threat', 0.1, 0.1, false)", job=job_id)  # fmt: skip
    teacher.requests.clear()
    return job_id


def test_cancelling_a_job_aborts_its_judge_and_keeps_complete_ratings(judged: int, teacher: ScriptedServer) -> None:
    teacher.faults = iter([None, Fault.HANGS, Fault.HANGS])  # type: ignore[list-item]
    verification = threading.Thread(target=verify, args=(judged, [1, 2, 3]))
    verification.start()
    wait_until(lambda: len(teacher.requests) == 3, 20)
    started = time.monotonic()
    assert CliRunner().invoke(app, ["jobs", "cancel", "doomed"]).exit_code == 0
    verification.join(20)
    assert not verification.is_alive()
    assert time.monotonic() - started < 10
    assert [row.signals for row in rows("select signals from verdicts")] != [{}]
    assert value("select count(*) from verdicts") == 1
    assert states("doomed") == {"done": 1, "generated": 2}
    assert rows("select distinct last_error from job_questions") == [(None,)]


def test_the_judge_gets_no_trace_of_a_cancelled_job(judged: int, teacher: ScriptedServer) -> None:
    assert CliRunner().invoke(app, ["jobs", "cancel", "doomed"]).exit_code == 0
    verify(judged, [1, 2, 3])
    assert len(teacher.requests) == 0
    assert states("doomed") == {"generated": 3}
