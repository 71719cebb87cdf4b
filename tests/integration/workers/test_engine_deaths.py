"""A question that kills its engine fails alone; its neighbours are handed back at once and answered later.

The engine is scripted: it dies when it gets a certain question. Feeder, tasks and database are real.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.factory import ROOT, addition, additions, change, fill, rows, states, value
from tests.integration.feeding import step
from tests.integration.verifying import right_and_wrong, store, sums
from tests.integration.visits import in_this_process
from tests.scripted_server import ScriptedServer
from tracemill.engines import Completion, Generation, registry
from tracemill.engines.registry import ENGINE_DIED
from tracemill.errors import EngineDead
from tracemill.policy import Policy
from tracemill.settings import FeederSettings, settings
from tracemill.stack import Stack
from workers import claims, outages, shutdown
from workers import generate as generating
from workers.generate import generate
from workers.verify import verify

pytestmark = pytest.mark.integration


class MortalEngine:
    """An engine for 16 sequences. The killer ends it, and all requests inside with it."""

    stalled_seconds = 0.0
    max_sequences = 16

    def __init__(self, killer: str) -> None:
        self.killer = killer
        self.is_dead = False

    async def generate(self, messages: list[dict[str, str]], n: int, *_: Any) -> Generation:
        self.is_dead |= messages[-1]["content"] == self.killer
        await asyncio.sleep(0.1)
        if self.is_dead:
            raise EngineDead("it died")
        return Generation((Completion("The answer is 1.", 5, "stop"),) * n, 5, 0.1)

    async def close(self) -> None:
        """End."""


class WorkerEnded(BaseException):
    """Stands in for the end of the process."""


def end(error: EngineDead) -> None:
    raise WorkerEnded(error)


@pytest.fixture
def factory(clean: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setattr(shutdown, "end_worker", end)
    with ScriptedServer() as server, in_this_process(clean, server, tmp_path) as stack:
        yield stack


def run_worker(engine: MortalEngine, job_id: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Answer the queued questions as one worker does, all at once; return whether its engine died."""
    monkeypatch.setattr(generating, "engine", lambda _: engine)
    monkeypatch.setattr(generating, "draining", lambda: engine.is_dead)  # a worker that has ended claims nothing
    outages._inside.clear()
    queued = rows("select question_id from job_questions where job_id = :job and state = 'queued'", job=job_id)
    with ThreadPoolExecutor(32) as threads:
        visits = [threads.submit(generate, job_id, [row.question_id]) for row in queued]
    claims.held.clear()
    return any(isinstance(visit.exception(), WorkerEnded) for visit in visits)


def test_a_question_that_kills_its_engine_fails_and_its_neighbours_do_not(
    factory: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = fill(additions(24), "sums", samples=1).job_id
    deaths = 0
    for _ in range(12):
        step(settings().feeder)
        deaths += run_worker(MortalEngine(addition(5).text), job_id, monkeypatch)
    assert states("sums") == {"generated": 23, "failed": 1}
    (failed,) = rows("select q.question, last_error from job_questions join questions q on q.id = question_id "
                     "where state = 'failed'")  # fmt: skip
    assert tuple(failed) == (addition(5).text, "EngineDead: it died")
    assert deaths <= 6  # 16 questions, 8, 4, 2, and twice alone at most


def test_an_engine_that_dies_once_fails_no_question(factory: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = fill(additions(1), "sums", samples=1).job_id
    step(settings().feeder)
    assert run_worker(MortalEngine(addition(0).text), job_id, monkeypatch)
    assert rows("select state, deaths, attempts, owner from job_questions") == [("pending", 1, 0, None)]
    step(settings().feeder)
    assert not run_worker(MortalEngine("another"), job_id, monkeypatch)
    assert rows("select state, deaths from job_questions") == [("generated", 0)]


DYING_WORKER = """
import sys, threading
from tests.integration.workers.test_engine_deaths import MortalEngine
from workers import generate as generating
engine = MortalEngine(sys.argv[1])
generating.engine = lambda _: engine
visits = [threading.Thread(target=generating.generate, args=(1, [question])) for question in (1, 2, 3)]
for visit in visits:
    visit.start()
for visit in visits:
    visit.join()
"""


def test_a_worker_hands_back_its_questions_before_it_ends(clean: Stack, tmp_path: Path) -> None:
    fill(additions(3), "sums", samples=1)
    step(FeederSettings())
    config = tmp_path / "tracemill.toml"
    config.write_text(
        '[models.teacher]\nengine = "openai"\nmodel = "scripted"\n[feeder]\nrunning_lease_seconds = 600\n'
    )
    ended = subprocess.run(
        [sys.executable, "-c", DYING_WORKER, addition(1).text],
        cwd=ROOT,
        env=os.environ | {"TRACEMILL_CONFIG": str(config), "TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())},
        timeout=60,
    )
    assert ended.returncode == ENGINE_DIED
    assert rows("select distinct state, attempts, owner from job_questions") == [("pending", 0, None)]
    assert value("select count(*) from job_questions where deaths = 1") == 3


class MortalJudge(MortalEngine):
    """A judge that a certain trace kills."""

    async def choose(self, messages: list[dict[str, str]], choices: Sequence[str], *_: Any) -> dict[str, float]:
        self.is_dead |= self.killer in messages[-1]["content"]
        await asyncio.sleep(0.05)
        if self.is_dead:
            raise EngineDead("it died")
        return dict.fromkeys(choices, 1 / len(choices))


def test_a_trace_that_kills_its_judge_fails_its_question_alone(
    judged_stack: Stack, judges: dict[str, ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = sums(4)
    job_id = fill(questions, "judged", samples=1, policy=Policy(judge="firm")).job_id
    store("judged", {question: texts[:1] for question, texts in right_and_wrong(questions).items()}, check=False)
    change("update job_questions set lease_until = now()")
    monkeypatch.setattr(shutdown, "end_worker", end)
    deaths = 0
    for _ in range(4):
        judge = MortalJudge(questions[2].text)
        monkeypatch.setitem(registry._engines, registry.engine_key("firm"), judge)
        outages._inside.clear()
        waiting = rows("select question_id from job_questions where state = 'generated' and lease_until <= now()")
        assert waiting or states("judged") == {"done": 3, "failed": 1}
        try:
            verify(job_id, [row.question_id for row in waiting])
        except WorkerEnded:
            deaths += 1
    assert states("judged") == {"done": 3, "failed": 1}
    assert value("select question from job_questions join questions q on q.id = question_id "
                 "where state = 'failed'") == questions[2].text  # fmt: skip
    assert deaths == 2
