"""The settings of a lesson for the training library: passes, epochs, learning rate, the adapter's shape."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lessons import lesson, sums
from trainer.fit_spec import FitSpec


def _arguments(folder: Path, *, rows: int = 160, **fit: Any) -> dict[str, Any]:
    from trainer.training import _arguments

    return _arguments(lesson("student", folder, [], **fit), rows, folder / "checkpoints")


def test_a_fit_uses_the_settings_of_its_round(tmp_path: Path) -> None:
    given = _arguments(tmp_path, batch_size=16, learning_rate=2e-4, seed=9)
    assert (given["learning_rate"], given["seed"]) == (2e-4, 9)


@pytest.mark.parametrize(("processes", "rows"), [(1, 16), (2, 8)])
def test_processes_share_a_step(processes: int, rows: int, tmp_path: Path) -> None:
    assert _arguments(tmp_path, batch_size=16, processes=processes)["per_device_train_batch_size"] == rows


@pytest.mark.parametrize(("rows", "warmup"), [(16 * 19, 0), (16 * 20, 1), (16 * 40 - 1, 2)])
def test_the_learning_rate_rises_over_a_twentieth_of_the_steps(rows: int, warmup: int, tmp_path: Path) -> None:
    assert _arguments(tmp_path, rows=rows, batch_size=16)["warmup_steps"] == warmup


def test_the_loss_is_logged_about_two_hundred_times(tmp_path: Path) -> None:
    every = [_arguments(tmp_path, rows=rows, batch_size=1)["logging_steps"] for rows in (10, 399, 400, 10_000)]
    assert every == [1, 1, 2, 50]


def test_an_epoch_ends_in_the_step_that_sees_its_last_row() -> None:
    from trainer.training import _ends

    # Five rows twice, then three rows once, in steps of four: 5, 10 and 13 rows.
    assert _ends([0] * 5 + [1] * 3, [2, 1], 4) == {2: 1, 3: 2, 4: 3}
    assert _ends([0] * 4, [2], 4) == {1: 1, 2: 2}


def test_every_linear_layer_has_the_rank_and_scale_of_the_round() -> None:
    from trainer.student import lora

    made = lora(FitSpec(lora_rank=8, lora_alpha=24))
    assert (made.r, made.lora_alpha, made.target_modules) == (8, 24, "all-linear")


def test_a_row_of_exactly_the_most_tokens_is_kept() -> None:
    from trainer.rows import Row, short

    rows = [Row([1] * 3, [2] * length) for length in (5, 4, 6)]
    assert short(rows, 8) == ([0, 1], rows[:2])


@pytest.mark.parametrize(
    "change",
    [{"epochs": (3,)}, {"teachers": ("other",)}, {"learning_rate": 1e-5}, {"batch_size": 8}, {"model": "other"}],
)
def test_a_lesson_that_differs_has_another_fingerprint(change: dict[str, Any], tmp_path: Path) -> None:
    model = change.get("model", "student")
    rest = {key: value for key, value in change.items() if key != "model"}
    first, second = lesson("student", tmp_path, sums(2)), lesson(model, tmp_path, sums(2), **rest)
    assert first.fingerprint == lesson("student", tmp_path / "elsewhere", sums(2)).fingerprint
    assert second.fingerprint != first.fingerprint != lesson("student", tmp_path, sums(3)).fingerprint


def test_a_fingerprint_does_not_copy_the_lesson(tmp_path: Path) -> None:
    import tracemalloc

    stored = bytes(range(256)) * 400
    given = lesson("student", tmp_path, [replace(example, logprobs=stored) for example in sums(100)])
    tracemalloc.start()
    given.fingerprint  # noqa: B018
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(stored)
