"""Every objective trains a real NF4 student on a few sums: the tiny one always, and the embedded one."""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from tests.lessons import lesson, pairs, sums, with_logprobs
from tests.tiny import byte_model
from tracemill.errors import TracemillError, UsageError
from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.weights import resolve
from trainer.objectives import Progress, find
from trainer.objectives.base import OBJECTIVES

COUNT = 12
#: Layers of the tiny student.
LAYERS = 2
#: (objective, settings), by the tested case.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("sft", {}),
    "stepwise": ("stepwise", {}),
    "hinge": ("preference", {"preference": {"loss": "hinge"}}),
    "dpo": ("preference", {"preference": {"loss": "dpo"}}),
    "logits": ("logits", {"logits": {"temperature": 2.0}}),
    "features": ("features", {}),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return byte_model(tmp_path_factory.mktemp("tiny"), width=64)


@pytest.fixture(scope="module")
def wider(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A teacher whose states are wider than the tiny student's."""
    return byte_model(tmp_path_factory.mktemp("wider"), width=96, seed=1)


@pytest.fixture(scope="module")
def embedded(models: Path) -> str:
    return resolve(EMBEDDED_MODEL, models)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """More threads are slower with such a small model."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _never_repacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """bitsandbytes repacks evaluated 4-bit weights on some CPUs; afterwards gradients are wrong."""
    import bitsandbytes.nn.modules as four_bit

    def refuse(*_: Any) -> None:
        raise AssertionError("a model that is trained was evaluated")

    monkeypatch.setattr(four_bit, "_convert_weight_packed_for_cpu", refuse)


def _learns(case: str, student: str, teacher: str, folder: Path, matrices: int) -> None:
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    name, settings = CASES[case]
    objective = find(name)
    examples = pairs(COUNT) if objective.pairs else sums(COUNT)
    if objective.logprobs:
        examples = with_logprobs(examples, AutoTokenizer.from_pretrained(student))
    reported: list[Progress] = []
    teachers = (teacher,) if objective.logprobs or objective.teacher else ()
    given = lesson(student, folder, examples, report=reported.append, teachers=teachers, objective=name, **settings)
    outcome = objective.fit(given)

    losses = [loss for _, loss in reported[-1].loss]
    assert len(losses) == reported[-1].steps == 2 * COUNT / given.fit.batch_size
    assert mean(losses[-2:]) < mean(losses[:2])
    assert (outcome.examples, outcome.too_long, outcome.resumed) == (COUNT, 0, 0)
    adapter = load_file(given.folder / "adapter_model.safetensors")
    learnt = [weights for key, weights in adapter.items() if "lora_B" in key]
    assert len(learnt) == matrices == len(adapter) / 2  # every linear layer, and nothing else
    assert all(weights.abs().max() > 0 for weights in learnt)  # they start as zeros


def test_all_objectives_are_tried() -> None:
    others = {name for name, objective in OBJECTIVES.items() if objective.learns_own_words}  # see test_own_words
    assert {name for name, _ in CASES.values()} == set(OBJECTIVES) - others


@pytest.mark.parametrize("case", CASES)
def test_an_objective_lowers_its_loss_and_changes_every_adapter_matrix(
    case: str, tiny: str, wider: str, tmp_path: Path
) -> None:
    _learns(case, tiny, wider, tmp_path, 7 * LAYERS)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_an_objective_does_so_with_the_embedded_student(case: str, embedded: str, tmp_path: Path) -> None:
    _learns(case, embedded, embedded, tmp_path, 7 * 30)


def test_a_teacher_with_other_tokens_is_refused(tiny: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.add_tokens(["<one more>"])
    tokenizer.save_pretrained(tmp_path / "teacher")
    for name in ("logits", "features"):
        teachers = (str(tmp_path / "teacher"),)
        with pytest.raises(UsageError, match=r"\(259\) are not the student's \(258\)"):
            find(name).fit(lesson(tiny, tmp_path, sums(2), teachers=teachers, objective=name))


def test_a_teacher_without_a_tokenizer_is_refused(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no tokenizer that can be loaded"):
        find("logits").fit(lesson(tiny, tmp_path, sums(2), teachers=(str(tmp_path / "empty"),), objective="logits"))


def test_a_layer_that_is_not_there_is_refused(tiny: str, tmp_path: Path) -> None:
    given = lesson(tiny, tmp_path, sums(2), teachers=(tiny,), objective="features", features={"layers": [[1, 4]]})
    with pytest.raises(UsageError, match=r"no pair \(1, 4\): the student has 2 layers, the teacher 2"):
        find("features").fit(given)


def test_traces_without_log_probabilities_are_refused(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(TracemillError, match="2 of 2 traces have no log-probabilities"):
        find("logits").fit(lesson(tiny, tmp_path, sums(2), teachers=(tiny,), objective="logits"))


def test_examples_that_are_too_long_are_left_out_and_counted(tiny: str, tmp_path: Path) -> None:
    from dataclasses import replace

    examples = [*sums(3), replace(sums(1)[0], text="word " * 200)]
    outcome = find("sft").fit(lesson(tiny, tmp_path, examples, epochs=(1,)))
    assert (outcome.examples, outcome.too_long) == (3, 1)
