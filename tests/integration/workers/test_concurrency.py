"""A generate worker counts samples: its engine never has more of them than the settings allow."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web

from tests.integration.factory import additions, fill, rows, states
from tests.integration.feeding import step
from tests.integration.visits import in_this_process
from tests.scripted_server import ScriptedServer
from tracemill.settings import settings
from tracemill.stack import Stack
from workers.generate import generate

pytestmark = pytest.mark.integration

LIMIT, SAMPLES, QUESTIONS = 8, 4, 12


class Counting(ScriptedServer):
    """Counts the samples that are requested at a time, and the questions that are claimed meanwhile."""

    def __init__(self) -> None:
        super().__init__(lambda question: "The answer is 1.", latency=0.1)
        self.inside, self.n_inside, self.n_claimed = 0, list[int](), list[int]()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        samples = int((await request.json()).get("n", 1))
        self.inside += samples
        self.n_inside.append(self.inside)
        self.n_claimed.append(rows("select count(*) from job_questions where state = 'running'")[0][0])
        try:
            return await super()._handle(request)
        finally:
            self.inside -= samples


@pytest.fixture
def server(clean: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    monkeypatch.setenv("TRACEMILL_GENERATE_CONCURRENCY", str(LIMIT))
    with Counting() as counting, in_this_process(clean, counting, tmp_path):
        yield counting


def test_the_engine_is_full_and_only_questions_with_room_are_claimed(server: Counting) -> None:
    fill(additions(QUESTIONS), "counted", samples=SAMPLES)
    step(settings().feeder)
    queued = rows("select job_id, question_id from job_questions")
    with ThreadPoolExecutor(QUESTIONS) as threads:
        list(threads.map(lambda row: generate(row.job_id, [row.question_id]), queued))
    assert states("counted") == {"generated": QUESTIONS}
    assert max(server.n_inside) == LIMIT
    spare = max(2, LIMIT // 4)
    assert max(server.n_claimed) <= (LIMIT + spare) // SAMPLES
