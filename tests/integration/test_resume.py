"""A killed fit continues from its latest complete checkpoint with the same result."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from db.session import transaction
from tests.conftest import forget
from tests.integration.factory import wait_until
from tests.integration.rounds import finish, job, question, round_row, round_spec, trace
from tests.lessons import lesson, sums
from tests.tiny import byte_model
from tracemill.settings import settings
from tracemill.stack import Stack
from trainer.fit import round_folder
from trainer.objectives import Progress, find
from trainer.service import run_round
from trainer.submit import queue_round

COUNT = 16
#: Settings for rounds of the tiny student: many quick steps with a checkpoint after each.
OFTEN = {"batch_size": 4, "max_tokens": 128, "checkpoint_seconds": 0.001}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return byte_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """More threads are slower with such a small model, and change the sums."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(threads)


class Killed(Exception):
    """Raised in place of a kill."""


def _stop_at(step: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    return report


@pytest.mark.parametrize("objective", ["sft", "features"])
def test_a_resumed_fit_has_the_losses_and_weights_of_an_unbroken_one(objective: str, tiny: str, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    def fitted(folder: Path, report: Callable[[Progress], None]) -> Any:
        more = {"teachers": (tiny,)} if objective == "features" else {}
        given = lesson(tiny, folder, sums(COUNT), report=report, objective=objective, **OFTEN, **more)
        return find(objective).fit(given)

    whole: list[Progress] = []
    fitted(tmp_path / "whole", whole.append)
    with pytest.raises(Killed):
        fitted(tmp_path / "parts", _stop_at(5))
    parts: list[Progress] = []
    outcome = fitted(tmp_path / "parts", parts.append)

    assert 0 < outcome.resumed < 5
    assert [progress.step for progress in parts] == list(range(outcome.resumed + 1, parts[-1].steps + 1))
    assert parts[-1].loss == whole[-1].loss
    weights = [load_file(tmp_path / part / "adapter/adapter_model.safetensors") for part in ("whole", "parts")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_partial_or_foreign_checkpoint_is_ignored(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        find("sft").fit(lesson(tiny, tmp_path, sums(COUNT), report=_stop_at(3), **OFTEN))
    others = find("sft").fit(lesson(tiny, _copy(tmp_path), sums(COUNT + 1), **OFTEN))
    assert others.resumed == 0
    kept = list(tmp_path.glob("checkpoints/checkpoint-*"))
    assert len(kept) == 1  # older ones are removed
    (kept[0] / "complete").unlink()
    assert find("sft").fit(lesson(tiny, tmp_path, sums(COUNT), **OFTEN)).resumed == 0


def _copy(folder: Path) -> Path:
    return Path(shutil.copytree(folder, folder.with_name(f"{folder.name}-copy")))


def test_the_adapter_of_every_epoch_is_kept_on_request(tiny: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    find("sft").fit(lesson(tiny, tmp_path, sums(10), epochs=(3,), keep_epochs=True, batch_size=4))
    kept = [load_file(tmp_path / f"epoch-{epoch}" / "adapter_model.safetensors") for epoch in (1, 2, 3)]
    last = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert not (tmp_path / "epoch-4").exists()
    for name, value in last.items():
        assert (value == kept[2][name]).all()
    assert any((value != kept[0][name]).any() for name, value in kept[1].items())


@pytest.fixture
def spec_of(clean: Stack, tiny: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes rounds of the tiny student with stored examples and a stored evaluation."""
    aliases = {
        "student": {"model": tiny, "vllm": {"adapters": True}},
        "teacher": {"model": tiny, "vllm": {"adapters": True}},
    }
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps(aliases))
    forget()
    with transaction() as connection:
        finish(connection, job(connection, "before", [question(connection, "What is 5 + 50?")], evaluate=True))
        examples = sums(COUNT)
        taught = [question(connection, example.question) for example in examples]
        teach = job(connection, "teach", taught)
        for question_id, example in zip(taught, examples, strict=True):
            trace(connection, teach, question_id, example.text)
    yield lambda **fit: round_spec(fit={**OFTEN, **fit})
    forget()


def _fitted(round_id: int) -> dict[str, Any]:
    """Run a round to the end of its fit, then fail it by a temporarily cancelled evaluation.

    On a busy machine the fit takes minutes. pytest's own timeout ends a hang.
    """
    trainer = threading.Thread(target=run_round, args=(round_id,))
    trainer.start()
    wait_until(lambda: round_row(round_id)["state"] not in ("queued", "selecting", "fitting"), math.inf)
    row = round_row(round_id)
    for state in ("cancelled", "done"):
        with transaction() as connection:
            connection.execute(text("update jobs set state = :state where name = 'before'"), {"state": state})
        trainer.join(60)
    return row


def test_a_round_killed_in_its_fit_continues_from_its_checkpoint(spec_of: Callable[..., Any]) -> None:
    round_id = queue_round(spec_of(epochs=10))
    folder = round_folder(settings().data_dir, "r1")
    code = f"from trainer.service import run_round; run_round({round_id})"
    trainer = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    wait_until(
        lambda: any(int(mark.parent.name.rpartition("-")[2]) > 8 for mark in folder.glob("checkpoints/*/complete")),
        math.inf,
    )
    fit = psutil.Process(trainer.pid).children()[0]
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    psutil.wait_procs([fit], 30)
    with transaction() as connection:
        assert connection.execute(text("update rounds set lease_until = now()")).rowcount == 1
    row = _fitted(round_id)

    metrics = row["metrics"]
    assert (row["state"], metrics["step"]) == ("evaluating", COUNT * 10 / OFTEN["batch_size"])
    assert 8 < metrics["resumed"] < metrics["steps"]
    assert [step for step, _ in metrics["loss"]] == list(range(1, metrics["steps"] + 1))
    assert not (folder / "checkpoints").exists()


def test_a_round_that_is_submitted_again_does_not_train_again(spec_of: Callable[..., Any]) -> None:
    spec = spec_of(epochs=1)
    round_id = queue_round(spec)
    first = _fitted(round_id)
    weights = Path(first["adapter_path"]) / "adapter_model.safetensors"
    written = weights.stat().st_mtime_ns
    assert queue_round(spec) == round_id  # its evaluation failed: only that is repeated
    again = _fitted(round_id)
    assert weights.stat().st_mtime_ns == written
    assert again["metrics"] == first["metrics"]
    with transaction() as connection:
        assert connection.execute(text("select count(*) from rounds")).scalar() == 1


@pytest.mark.slow
def test_a_round_shared_by_two_processes_learns_and_leaves_one_adapter(spec_of: Callable[..., Any]) -> None:
    row = _fitted(queue_round(spec_of(epochs=4, processes=2, checkpoint_seconds=0.5)))
    assert row["error"] is None
    metrics = row["metrics"]
    assert metrics["step"] == COUNT * 4 / OFTEN["batch_size"]
    losses = [loss for _, loss in metrics["loss"]]
    assert losses[-1] < losses[0]
    folder = Path(row["adapter_path"])
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_a_merged_model_answers_as_the_adapter_does(spec_of: Callable[..., Any], tiny: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainer.student import base_model

    row = _fitted(queue_round(spec_of(epochs=2, merge=True)))
    adapter = Path(row["adapter_path"])
    merged = AutoModelForCausalLM.from_pretrained(adapter.with_name("merged"), dtype="auto")
    assert merged.dtype == torch.bfloat16
    inputs = AutoTokenizer.from_pretrained(adapter.with_name("merged"))("What is 3 + 7?", return_tensors="pt")
    apart = PeftModel.from_pretrained(base_model(tiny, "nf4").dequantize(dtype=torch.bfloat16), str(adapter))
    with torch.no_grad():
        torch.testing.assert_close(merged(**inputs).logits, apart(**inputs).logits, atol=0.15, rtol=0.05)
