"""Fixtures for tests of tasks in this process, with a scripted teacher or with scripted judges of known quality."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import forget, stop_threads
from tests.integration.factory import change
from tests.integration.visits import Observed, in_this_process
from tests.scripted_judges import firm, gullible, of_known_quality, scripted_judge
from tests.scripted_server import ScriptedServer
from tracemill.engines.registry import close_engines
from tracemill.stack import Stack
from workers import judging
from workers.job import worker_job

ALIAS = """
[models.{name}]
engine = "openai"
model = "scripted {name}"
price_in = 1.0
price_out = 3.0
openai.base_url = "{url}"
"""
JUDGES = {
    "good": of_known_quality(0.95),
    "chance": of_known_quality(0.5),
    "gullible": gullible(of_known_quality(0.95)),
    "firm": firm(),
}


@pytest.fixture(scope="module")
def teacher() -> Iterator[Observed]:
    with Observed() as server:
        yield server


@pytest.fixture
def database(clean: Stack, teacher: Observed, tmp_path: Path) -> Iterator[Stack]:
    """An empty stack beside the teacher, which has no faults and has had no requests."""
    teacher.during, teacher.faults = lambda: None, iter(())
    teacher.requests.clear()
    with in_this_process(clean, teacher, tmp_path) as stack:
        yield stack


@pytest.fixture(scope="module")
def judges() -> Iterator[dict[str, ScriptedServer]]:
    servers = {name: scripted_judge(judge) for name, judge in JUDGES.items()}
    for server in servers.values():
        server.__enter__()
    yield servers
    for server in servers.values():
        server.__exit__(None, None, None)


@pytest.fixture
def judged_stack(
    clean: Stack, judges: dict[str, ScriptedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    """An empty stack beside the judges."""
    config = tmp_path / "tracemill.toml"
    config.write_text("".join(ALIAS.format(name=name, url=server.base_url) for name, server in judges.items()))
    monkeypatch.setenv("TRACEMILL_CONFIG", str(config))
    forget()
    worker_job.cache_clear()
    judging._watched.clear()
    change("truncate calibrations, model_pauses")
    yield clean
    close_engines()
    stop_threads()
    monkeypatch.undo()
    forget()
