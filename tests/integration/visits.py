"""Run the feeder, generate and verify tasks in this process with a scripted model, for tests of single visits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from producer.priors import fit_priors
from tests.conftest import forget, stop_threads
from tests.integration.factory import rows, states, value
from tests.integration.feeding import step
from tests.scripted_server import ScriptedServer
from tracemill.engines.registry import close_engines
from tracemill.settings import settings
from tracemill.stack import Stack
from workers.generate import generate
from workers.job import worker_job
from workers.verify import verify


class Observed(ScriptedServer):
    """Always answers with ten words; `during` is called before each answer."""

    def __init__(self) -> None:
        super().__init__(lambda _: "First a word, then a few. The answer is 1.")
        self.during: Callable[[], None] = lambda: None

    def _completion(self, request_body: dict[str, Any]) -> dict[str, Any]:
        self.during()
        return super()._completion(request_body)


@contextmanager
def in_this_process(stack: Stack, server: ScriptedServer, folder: Path) -> Iterator[Stack]:
    """Yield an empty stack. The server is teacher and student, at 1 per million tokens in and 3 per million out."""
    config = folder / "tracemill.toml"
    model = 'engine = "openai"\nmodel = "scripted"\nprice_in = 1.0\nprice_out = 3.0\n'
    model += f'openai.base_url = "{server.base_url}"\n'
    config.write_text(f"[models.teacher]\n{model}[models.student]\n{model}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACEMILL_CONFIG", str(config))
        forget()
        worker_job.cache_clear()
        yield stack
        close_engines()
        stop_threads()
    forget()


def work(job: str, max_visits: int = 1000) -> int:
    """Run feeder and workers until the job queues no more questions; return the number of visits."""
    job_id = value("select id from jobs where name = :job", job=job)
    for visit in range(max_visits):
        step(settings().feeder)
        fit_priors()
        queued = rows("select question_id from job_questions where job_id = :id and state = 'queued'", id=job_id)
        if not queued:
            return visit
        for row in queued:
            generate(job_id, [row.question_id])
        verify(job_id, [row.question_id for row in queued])
    raise AssertionError(f"{job} does not end: {states(job)}")
