"""No process of Tracemill imports a module of the current folder with the name of ours."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hijack import caught, lay_traps
from tests.installed import environment, succeed
from tests.integration.scripted import Teacher
from tests.tiny import tiny_model

pytestmark = pytest.mark.integration

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
vllm.max_model_len = 256
vllm.kv_cache_gib = 0.1
"""
ROUND = """
name = "r1"
[select]
jobs = ["teach"]
[fit]
epochs = 1
batch_size = 4
max_tokens = 128
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


@pytest.mark.timeout(1800)
def test_a_whole_factory_imports_nothing_of_the_folder(folder: Path, models: Path, tmp_path: Path) -> None:
    student = tiny_model(models, tmp_path / "student", width=128)
    questions = [{"question": f"What is {n} + 1?", "gold": str(n + 1)} for n in range(12)]
    (folder / "teach.jsonl").write_text("\n".join(map(json.dumps, questions[:8])))
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, questions[8:])))
    (folder / "round.toml").write_text(ROUND)
    with Teacher() as server:
        (folder / "tracemill.toml").write_text(SETTINGS.format(teacher=server.base_url, student=student))
        try:
            states = json.loads(succeed(folder, "up", "--json", seconds=300))
            assert {row["name"] for row in states} >= {"producer", "generate", "verify", "train", "flower"}
            before = ("--model", "student", "--purpose", "evaluate", "--samples", "1", "--max-tokens", "8")
            succeed(folder, "enqueue", "test.jsonl", *before, "--name", "before")
            succeed(folder, "enqueue", "teach.jsonl", "--samples", "4", "--name", "teach")
            succeed(folder, "jobs", "watch", "teach", seconds=300)
            succeed(folder, "jobs", "watch", "before", seconds=300)
            done = json.loads(succeed(folder, "train", "round.toml", "--json", seconds=900))
            assert done["state"] == "done"
            assert {row["stage"] for row in done["evaluations"]} == {"before", "after"}
            workers = json.loads(succeed(folder, "celery", "inspect", "ping", "--json"))
            assert sorted(name.split(".")[0] for name in workers) == ["generate", "train", "verify"]
        finally:
            succeed(folder, "down")
