"""No process of Tracemill imports a module of the current folder with the name of ours."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.hijack import WITNESS, caught, lay_traps
from tests.installed import environment, succeed
from tests.integration.factory import wait_until
from tests.integration.scripted import Teacher
from tests.tiny import byte_model
from tracemill.processes import is_alive

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

TRACE = {"question": "2 + 3?", "trace": "2 + 3 = 5. The answer is 5.", "gold": "5"}

#: A user's program outside the folder.
LIBRARY = """
from tracemill.verification.checks import Item
from tracemill.verification.pool import CheckPool

if __name__ == "__main__":
    pool = CheckPool(1)
    (findings,) = pool.check_all([Item("2 + 3 = 5. The answer is 5.", "5")])
    print(findings.correct)
    pool.close()
"""
SETTINGS = """
[local]
generate = ["teacher", "student"]
judge = ""
[feeder]
interval_seconds = 0.2
[models.teacher]
engine = "openai"
openai.base_url = "{teacher}"
model = "scripted"
[models.student]
model = "{student}"
vllm.adapters = true
vllm.max_model_len = 1024
vllm.kv_cache_gib = 0.1
"""
ROUND = """
name = "r1"
[select]
jobs = ["teach"]
[fit]
epochs = 1
batch_size = 4
max_tokens = 1024
[evaluate]
jobs = ["before"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of traps; fails if a process imported one."""
    witness = lay_traps(tmp_path)
    yield tmp_path
    assert caught(witness) == ""


def test_verifying_a_file_imports_nothing_of_the_folder(folder: Path) -> None:
    (folder / "traces.jsonl").write_text(json.dumps(TRACE) + "\n")
    verdict = json.loads(succeed(folder, "verify", "traces.jsonl"))
    assert (verdict["correct"], verdict["equations"]) == (True, {"checked": 1, "false": 0})


def test_a_command_without_a_stack_imports_nothing_of_the_folder(folder: Path) -> None:
    assert json.loads(succeed(folder, "config", "--json"))


def test_a_program_with_a_check_pool_imports_nothing_of_the_folder(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = tmp_path_factory.mktemp("elsewhere") / "program.py"
    program.write_text(LIBRARY)
    command = [sys.executable, str(program)]
    ended = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True)
    assert ended.stdout == "True\n"


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of traps with a running factory, whose student is a real small model."""
    folder, weights = tmp_path_factory.mktemp("factory"), tmp_path_factory.mktemp("weights")
    witness = lay_traps(folder)
    questions = [{"question": f"What is {n} + 1?", "gold": str(n + 1)} for n in range(12)]
    (folder / "teach.jsonl").write_text("\n".join(map(json.dumps, questions[:8])))
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, questions[8:])))
    (folder / "round.toml").write_text(ROUND)
    with Teacher() as server:
        student = byte_model(weights / "student", width=128)
        (folder / "tracemill.toml").write_text(SETTINGS.format(teacher=server.base_url, student=student))
        try:
            succeed(folder, "up", seconds=300)
            yield folder
        finally:
            succeed(folder, "down")
    assert caught(witness) == ""


def programs(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(succeed(folder, "status", "--json"))}


def test_a_whole_factory_imports_nothing_of_the_folder(factory: Path) -> None:
    assert programs(factory).keys() >= {"producer", "generate", "verify", "train", "flower"}
    before = ("--model", "student", "--purpose", "evaluate", "--samples", "1", "--max-tokens", "8")
    succeed(factory, "enqueue", "test.jsonl", *before, "--name", "before")
    succeed(factory, "enqueue", "teach.jsonl", "--samples", "4", "--name", "teach")
    succeed(factory, "jobs", "watch", "teach", seconds=300)
    succeed(factory, "jobs", "watch", "before", seconds=300)
    done = json.loads(succeed(factory, "train", "round.toml", "--json", seconds=900))
    assert done["state"] == "done"
    assert {row["stage"] for row in done["evaluations"]} == {"before", "after"}
    workers = json.loads(succeed(factory, "celery", "inspect", "ping", "--json"))
    assert sorted(name.split(".")[0] for name in workers) == ["generate", "train", "verify"]
    assert caught(factory / WITNESS) == ""


def test_the_engine_of_a_killed_worker_ends(factory: Path) -> None:
    wait_until(lambda: programs(factory)["generate"]["state"] == "RUNNING", 300)
    worker = psutil.Process(programs(factory)["generate"]["pid"])
    engine = worker.children(recursive=True)
    assert any("VLLM::" in " ".join(process.cmdline()) for process in engine)
    worker.kill()
    wait_until(lambda: not any(map(is_alive, engine)), 10, lambda: engine)
