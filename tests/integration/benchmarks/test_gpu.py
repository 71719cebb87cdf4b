"""`python -m benchmarks.gpu`: every step has a result, and nothing that was not tried counts as passed."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common import environment
from benchmarks.gpu_steps import STEPS
from tests.installed import environment as users_environment
from tracemill.interpreter import python
from tracemill.model_settings import EMBEDDED_MODEL

pytestmark = pytest.mark.integration


def checked(folder: Path, *words: str, seconds: float = 300) -> tuple[int, str, dict[str, dict[str, Any]]]:
    """The exit code, the output, and the result of each step by its name."""
    done = subprocess.run(
        python("benchmarks.gpu", *words),
        cwd=folder,
        env=users_environment() | environment(),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    report = json.loads((folder / "gpu-check.json").read_text())
    return done.returncode, done.stdout, {row["step"]: row for row in report["steps"]}


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """A model folder without a model."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return str(folder)


def test_steps_without_time_are_not_tried(tmp_path: Path, broken: str) -> None:
    code, output, rows = checked(tmp_path, "--teacher", broken, "--minutes", "0")
    assert code == 0
    assert list(rows) == list(STEPS)
    assert {row["state"] for row in rows.values()} == {"not tried"}
    assert "0 s left, it needs" in output


def test_a_failed_step_shows_its_reason_and_the_others_go_on(tmp_path: Path, broken: str) -> None:
    code, output, rows = checked(tmp_path, "--teacher", broken, "--steps", "gradients,evaluation")
    assert code == 1
    assert (rows["gradients"]["state"], rows["evaluation"]["state"]) == ("failed", "failed")
    assert rows["evaluation"]["reason"].endswith("there is no adapter: the step fit-sft did not run")
    assert rows["evaluation"]["reason"] in output


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_step_passes_on_this_machine(tmp_path: Path) -> None:
    code, output, rows = checked(tmp_path, "--teacher", EMBEDDED_MODEL, "--minutes", "50", seconds=3500)
    assert code == 0, output
    assert {row["state"] for row in rows.values()} == {"passed"}
    assert all(row["figures"] for row in rows.values())
