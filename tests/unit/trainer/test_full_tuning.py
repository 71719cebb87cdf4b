"""Training of all weights: a whole model in bfloat16, and a fit that resumes."""

from pathlib import Path
from typing import Any

import pytest

from tests.lessons import lesson, sums
from tests.tiny import byte_model
from trainer.objectives import Outcome, Progress, find

FULL = {"tuning": "full", "quantisation": "none", "learning_rate": 2e-4, "checkpoint_seconds": 1e-9}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    return byte_model(tmp_path_factory.mktemp("student"))


def _fit(student: str, folder: Path, **settings: Any) -> tuple[Outcome, list[float]]:
    reported: list[Progress] = []
    given = lesson(student, folder, sums(8), report=reported.append, epochs=(3,), **FULL, **settings)
    outcome = find(given.fit.objective).fit(given)
    return outcome, [loss for _, loss in reported[-1].loss]


def _weights(folder: Path) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoTokenizer.from_pretrained(folder)
    return dict(AutoModelForCausalLM.from_pretrained(folder, dtype="auto").named_parameters())


@pytest.mark.parametrize("objective", ["sft", "stepwise"])
def test_every_matrix_is_trained_and_saved_in_bfloat16(objective: str, student: str, tmp_path: Path) -> None:
    import torch

    _, losses = _fit(student, tmp_path, objective=objective)
    assert losses[-1] < losses[0]
    before, after = _weights(Path(student)), _weights(tmp_path / "adapter")
    assert before.keys() == after.keys()
    for name, value in after.items():
        assert value.dtype == torch.bfloat16
        if value.ndim == 2:
            assert not torch.equal(value, before[name]), name


def test_a_killed_fit_resumes_and_ends_with_the_same_weights(student: str, tmp_path: Path) -> None:
    import shutil

    import torch

    whole, losses = _fit(student, tmp_path)
    first = _weights(tmp_path / "adapter")
    shutil.rmtree(tmp_path / "adapter")
    resumed, again = _fit(student, tmp_path)
    assert (whole.resumed, resumed.resumed) == (0, len(losses) - 1)
    assert again == losses
    for name, value in _weights(tmp_path / "adapter").items():
        assert torch.equal(value, first[name]), name
