"""A kill -9 of a process of the factory leaves none of its processes, so that its engine's memory is free again."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from db.session import transaction
from tests.conftest import forget
from tests.integration.factory import Processes, change, rows, wait_until
from tests.integration.rounds import finish, job, question, round_spec
from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.processes import is_alive
from tracemill.stack import Stack
from tracemill.weights import resolve
from trainer.submit import queue_round

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def processes(clean: Stack, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    """No process yet; every alias is a small engine of the embedded model."""
    engine = {"max_model_len": 512, "kv_cache_gib": 0.25, "adapters": True}
    weights = resolve(EMBEDDED_MODEL, models)
    aliases = {name: {"model": weights, "vllm": engine} for name in ("teacher", "student", "verifier")}
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps(aliases))
    forget()
    started = Processes(tmp_path, {})
    yield started
    started.stop_all()
    forget()


def descendants(processes: Processes, name: str) -> list[psutil.Process]:
    return psutil.Process(processes.running[name].pid).children(recursive=True)


def engines(processes: Processes, name: str) -> list[psutil.Process]:
    return [child for child in descendants(processes, name) if "VLLM::" in " ".join(child.cmdline())]


def kill_and_count(processes: Processes, name: str) -> int:
    """Kill a process and return how many processes it had started. Fails if one of them lives on."""
    started = descendants(processes, name)
    processes.kill(name)
    wait_until(lambda: not any(map(is_alive, started)), 10, lambda: [child for child in started if is_alive(child)])
    return len(started)


def test_a_killed_generate_worker_leaves_no_engine(processes: Processes) -> None:
    processes.start("generate", "worker", "generate", "--model", "teacher")
    wait_until(lambda: rows("select 1 from processes where kind = 'generate' and concurrency > 0"), 600)
    assert engines(processes, "generate")
    assert kill_and_count(processes, "generate") > 0


def test_a_worker_killed_before_its_engine_imports_vllm_leaves_no_engine(processes: Processes) -> None:
    processes.start("generate", "worker", "generate", "--model", "teacher")

    def spawned() -> list[psutil.Process]:
        started = descendants(processes, "generate")
        return [child for child in started if "multiprocessing.spawn" in str(child.cmdline())]

    wait_until(spawned, 600)
    assert not engines(processes, "generate")
    assert kill_and_count(processes, "generate") > 0


def test_a_killed_worker_of_a_judge_leaves_no_engine(processes: Processes, tmp_path: Path) -> None:
    processes.start("verify", "worker", "verify", "--judge", "verifier")
    wait_until(lambda: rows("select 1 from processes where kind = 'verify' and concurrency > 0"), 600)
    labelled = tmp_path / "labelled.jsonl"
    traces = [{"question": "1 + 1?", "trace": f"The answer is {2 + n % 2}.", "gold": 2} for n in range(20)]
    labelled.write_text("".join(json.dumps(row) + "\n" for row in traces))
    processes.start("calibrate", "calibrate", "--judge", "verifier", str(labelled))
    wait_until(lambda: engines(processes, "verify"), 600)
    time.sleep(1)  # in the middle of its start, which is when nothing else ends its processes
    assert kill_and_count(processes, "verify") > 0


def test_a_killed_trainer_that_evaluates_leaves_no_process(processes: Processes) -> None:
    with transaction() as connection:
        finish(connection, job(connection, "before", [question(connection, "What is 5 + 50?")], evaluate=True))
        job(connection, "teach", [question(connection, "What is 5 + 51?")])
    queue_round(round_spec())
    assert change("update rounds set state = 'evaluating', adapter_path = '/nowhere'") == 1
    processes.start("train", "worker", "train")
    wait_until(lambda: rows("select 1 from jobs where name = 'r1/before'"))
    kill_and_count(processes, "train")
