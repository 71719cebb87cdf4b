"""Objectives that learn from the student's own samples: their losses by hand, and the adapter that they start from."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.fits import BATCH, ROUNDED, all_logprobs, fit, load, read
from tests.lessons import sums
from tests.tiny import TEMPLATE, byte_model, byte_tokenizer
from tracemill.errors import TracemillError
from tracemill.logprobs import TopK, decode, encode
from trainer.objectives import Example
from trainer.objectives.grpo import policy_loss
from trainer.objectives.logits import divergence

#: Likeliest tokens of the teacher that are stored, and the factor of its logits: a random model is hardly sure of any.
TOP_K, SURE = 3, 6
#: Of the samples of one batch, two of each question.
ADVANTAGES = (0.5, -0.5, 0.25, -0.75)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    return byte_model(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return byte_model(tmp_path_factory.mktemp("teacher"), seed=1)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def samples(scorer: str, student: str, top_k: int = TOP_K, factor: int = SURE) -> list[Example]:
    """Samples of different lengths with the scores of a model. Every second one was cut off, without an end token."""
    model, scored = load(scorer), []
    for number, example in enumerate(sums(BATCH)):
        prompt, ids = read(student, example.question, example.text)
        ids = ids[: 20 + number] if number % 2 else ids
        rows = []
        for token, values in zip(ids, (factor * all_logprobs(model, prompt, ids)).log_softmax(-1), strict=True):
            likeliest = {int(each): float(values[each]) for each in values.topk(top_k).indices}
            rows.append((token, likeliest | {token: float(values[token])}))
        scored.append(replace(example, logprobs=encode(TopK.of(rows)), is_cut_off=bool(number % 2)))
    return scored


def reverse_divergences(model: Any, student: str, example: Example) -> list[float]:
    """KL(student ‖ teacher) at each sampled token, over the stored tokens and all others."""
    top = decode(example.logprobs or b"")
    prompt, _ = read(student, example.question, "")
    divergences = []
    for row, ids, stored in zip(all_logprobs(model, prompt, top.chosen).exp(), top.ids, top.logprobs, strict=True):
        q, p = [float(row[token]) for token in ids], [math.exp(value) for value in stored]
        pairs = zip([*q, 1 - sum(q)], [*p, 1 - sum(p)], strict=True)
        divergences.append(sum(a * math.log(a / b) for a, b in pairs))
    return divergences


def test_the_loss_is_the_reverse_divergence_of_each_sampled_token(student: str, teacher: str, tmp_path: Path) -> None:
    examples = samples(teacher, student)
    fitted = fit(student, tmp_path, examples, objective="on_policy", steps=3, teachers=(teacher,))
    by_hand = [
        [kl for example in examples for kl in reverse_divergences(model, student, example)] for model in fitted.students
    ]
    means = [sum(values) / len(values) for values in by_hand]
    assert fitted.losses == pytest.approx(means[:3], abs=ROUNDED)
    assert means == sorted(means, reverse=True)


def test_the_reverse_divergence_is_that_of_trls_stored_scores() -> None:
    import torch
    from trl.experimental.sdft.loss_utils import add_tail_bucket, compute_divergence

    torch.manual_seed(0)
    logits, scores = torch.randn(5, 40), torch.randn(5, 40).log_softmax(-1)
    stored = scores.topk(TOP_K)
    of_student = add_tail_bucket(logits.log_softmax(-1).gather(-1, stored.indices))
    theirs = compute_divergence(of_student, add_tail_bucket(stored.values), alpha=1.0)
    ours = divergence(logits, stored.indices, stored.values, is_reverse=True)
    assert ours.tolist() == pytest.approx(theirs.tolist(), abs=1e-5)


def test_the_first_loss_of_grpo_is_minus_the_mean_advantage_of_its_tokens(student: str, tmp_path: Path) -> None:
    """The student samples with its own probabilities, so that every ratio is 1 before the first step."""
    examples = [
        replace(example, advantage=advantage)
        for example, advantage in zip(samples(student, student, 1, factor=1), ADVANTAGES, strict=True)
    ]
    fitted = fit(student, tmp_path, examples, objective="grpo", steps=2)
    tokens = [len(decode(example.logprobs or b"").chosen) for example in examples]
    weighted = sum(n * advantage for n, advantage in zip(tokens, ADVANTAGES, strict=True)) / sum(tokens)
    assert fitted.losses[0] == pytest.approx(-weighted, abs=0.01)
    assert fitted.losses[1] < fitted.losses[0]
    before, after = (self_logprobs(model, student, examples) for model in fitted.students[:2])
    moved = [now - then for now, then in zip(after, before, strict=True)]
    gained = sum(change * advantage for change, advantage in zip(moved, ADVANTAGES, strict=True))
    assert gained > 0


def self_logprobs(model: Any, student: str, examples: Sequence[Example]) -> list[float]:
    """The log-probability of each sample."""
    import torch

    sums_ = []
    for example in examples:
        ids = decode(example.logprobs or b"").chosen
        prompt, _ = read(student, example.question, "")
        sums_.append(float(all_logprobs(model, prompt, ids)[torch.arange(len(ids)), torch.tensor(ids)].sum()))
    return sums_


def test_a_ratio_beyond_the_clip_adds_nothing_in_the_direction_of_its_advantage() -> None:
    import torch

    now = torch.tensor([0.5, 0.5, -0.5, -0.5], requires_grad=True)
    losses = policy_loss(now, torch.zeros(4), torch.tensor([1.0, -1.0, 1.0, -1.0]), clip=0.2)
    assert losses.tolist() == pytest.approx([-1.2, math.exp(0.5), -math.exp(-0.5), 0.8])
    losses.sum().backward()
    assert now.grad is not None
    assert [bool(value) for value in now.grad] == [False, True, True, False]


def test_samples_of_equal_reward_teach_nothing(student: str, tmp_path: Path) -> None:
    examples = [replace(example, advantage=0.0) for example in samples(student, student, 1, factor=1)]
    with pytest.raises(TracemillError, match="no question has both accepted and other samples"):
        fit(student, tmp_path, examples, objective="grpo")


def test_a_fit_continues_to_train_the_adapter_of_an_earlier_round(student: str, teacher: str, tmp_path: Path) -> None:
    examples = samples(teacher, student)
    settings: dict[str, Any] = {"objective": "on_policy", "teachers": (teacher,), "quantisation": "nf4"}
    first_losses = fit(student, tmp_path / "first", examples, steps=6, **settings | {"learning_rate": 3e-2}).losses
    first = str(tmp_path / "first" / "adapter")
    second = fit(student, tmp_path / "second", examples, steps=1, start=first, **settings)
    from peft import PeftModel

    continued = PeftModel.from_pretrained(load(student), first)
    by_hand = [kl for example in examples for kl in reverse_divergences(continued, student, example)]
    # The base is in NF4 here, and by hand in float32.
    assert second.losses == pytest.approx([sum(by_hand) / len(by_hand)], abs=0.02)
    assert second.losses[0] < first_losses[0] - 0.05


@pytest.fixture(scope="module")
def merging(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tokenizer of a teacher, with other ids than the student's, and with tokens of two bytes."""
    folder = tmp_path_factory.mktemp("merging")
    byte_tokenizer(TEMPLATE, "<bos>", "<eos>", merges=[("T", "h"), ("Ġ", "a")]).save_pretrained(folder)
    return str(folder)


def test_scores_of_other_tokens_are_learnt_where_both_models_have_the_same_token(
    student: str, merging: str, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    ours, theirs = (AutoTokenizer.from_pretrained(folder) for folder in (student, merging))
    assert ours.convert_tokens_to_ids("x") != theirs.convert_tokens_to_ids("x")
    likeliest = {"x": 0.5, "Th": 0.3, "y": 0.1}
    examples = []
    for example in sums(BATCH):
        ids = [*theirs(example.text, add_special_tokens=False)["input_ids"], theirs.eos_token_id]
        row = {theirs.convert_tokens_to_ids(piece): math.log(share) for piece, share in likeliest.items()}
        examples.append(replace(example, logprobs=encode(TopK.of((token, row) for token in ids))))
    fitted = fit(student, tmp_path, examples, objective="gold", steps=1, teachers=(merging,))

    losses = []
    for example in examples:
        prompt, ids = read(student, example.question, example.text)
        is_merged = [pair in ("Th", " a") for pair in map("".join, pairwise(example.text))]
        of_two = [a or b for a, b in zip([*is_merged, False], [False, *is_merged], strict=True)]
        for values, has_none in zip(all_logprobs(fitted.students[0], prompt, ids).exp(), [*of_two, False], strict=True):
            q = [float(values[ours.convert_tokens_to_ids(piece)]) for piece in "xy"]
            pairs = zip([*q, 1 - sum(q)], [0.5, 0.1, 0.4], strict=True)  # the student lacks "Th"
            losses.append(0.0 if has_none else sum(a * math.log(a / b) for a, b in pairs))
    assert 0 < losses.count(0.0) < len(losses) / 4
    assert fitted.losses == pytest.approx([sum(losses) / len(losses)], abs=2 * ROUNDED)


def test_the_log_probabilities_of_sampled_tokens_are_read_from_their_rows() -> None:
    top = TopK.of([(3, {3: -0.5, 4: -1.0}), (9, {1: -0.25, 9: -7.0}), (5, {1: -0.125})])
    assert decode(encode(top)).chosen_logprobs.tolist() == [-0.5, -7.0, -math.inf]
