"""A child process of a trainer: its end when it is not needed, and the error that it reports."""

import time
from pathlib import Path

import pytest

from tracemill.errors import TracemillError
from trainer.child_process import run_in_child


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "stand_in.py"


def test_a_childs_error_is_kept_despite_later_output_of_libraries(module: Path) -> None:
    module.write_text("print('tracemill: no luck', flush=True); print('====='); raise SystemExit(1)")
    with pytest.raises(TracemillError, match=r"^no luck \(log: .*fit\.log\)$"):
        run_in_child("stand_in", 1, module.with_name("fit.log"), lambda: True)


def test_the_last_line_is_the_error_of_a_child_that_reports_none(module: Path) -> None:
    module.write_text("raise MemoryError('all gone')")
    with pytest.raises(TracemillError, match="MemoryError: all gone"):
        run_in_child("stand_in", 1, module.with_name("fit.log"), lambda: True)


def test_the_error_of_a_killed_child_names_the_signal(module: Path) -> None:
    module.write_text("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(TracemillError, match="ended by SIGKILL"):
        run_in_child("stand_in", 1, module.with_name("fit.log"), lambda: True)


def test_a_child_ends_when_it_is_no_longer_needed(module: Path) -> None:
    module.write_text("import time; time.sleep(600)")
    started = time.monotonic()
    assert not run_in_child("stand_in", 1, module.with_name("fit.log"), lambda: time.monotonic() < started + 1)


@pytest.mark.parametrize(("visible", "gpus", "seen"), [(None, 1, "0"), (None, 2, "0,1"), ("3,5,7", 2, "3,5")])
def test_a_process_sees_as_many_gpus_as_it_may(
    visible: str | None, gpus: int, seen: str, module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    module.write_text("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])")
    log = module.with_name("fit.log")
    assert run_in_child("stand_in", 1, log, lambda: True, gpus)
    assert log.read_text().strip() == seen
