"""The loss of each objective on one batch, computed by hand, and the effect of a few steps on the student.

Each fit is a black box: one batch per epoch, so step 1 uses the base model and step 2 the saved adapter of epoch 1. The
computation by hand uses float32, the fit bfloat16.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chat_templates import template
from tests.fits import BATCH, ROUNDED, all_logprobs, fit, load, read
from tests.lessons import pairs, sums
from tests.tiny import byte_model
from tracemill.logprobs import TopK, encode
from trainer.objectives import Example


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    return byte_model(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another model of the same width with other states."""
    return byte_model(tmp_path_factory.mktemp("teacher"), seed=1)


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A student whose prompt opens the thoughts."""
    marks = ("<think>", "</think>")
    return byte_model(tmp_path_factory.mktemp("thinker"), template=template("Qwen3-Thinking"), marks=marks)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A teacher whose states are wider than the student's."""
    return byte_model(tmp_path_factory.mktemp("wide"), width=48, seed=2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _of_answer(model: Any, student: str, example: Example) -> Any:
    """The log-probability of each token of an example's answer."""
    import torch

    prompt, answer = read(student, example.question, example.text)
    return all_logprobs(model, prompt, answer)[torch.arange(len(answer)), torch.tensor(answer)]


def _examples() -> list[Example]:
    """Answers of different lengths, so that there is padding."""
    longer = "There are quite a few of them.\nWe add them all up, one after the other.\nThe answer is 7."
    return [*sums(BATCH - 1), replace(sums(1)[0], text=longer, position=BATCH - 1, steps=tuple(longer.split("\n")[:2]))]


def _cross_entropy(model: Any, student: str, examples: Sequence[Example]) -> float:
    """Mean over all tokens of the answers."""
    import torch

    return -float(torch.cat([_of_answer(model, student, example) for example in examples]).mean())


class TestImitation:
    def test_the_loss_is_the_cross_entropy_of_the_answers_tokens(self, student: str, tmp_path: Path) -> None:
        fitted = fit(student, tmp_path, _examples())
        by_hand = [_cross_entropy(model, student, _examples()) for model in fitted.students]
        assert fitted.losses == pytest.approx(by_hand[:2], abs=ROUNDED)
        assert by_hand[0] > by_hand[1] > by_hand[2]

    def test_thoughts_that_the_prompt_opens_are_learnt_with_one_mark(self, thinker: str, tmp_path: Path) -> None:
        after_prompt = "Add.\n</think>\n\n"
        learnt = [replace(example, text=after_prompt + example.text) for example in _examples()]
        traces = [replace(example, text=f"<think>\n{example.text}") for example in learnt]
        fitted = fit(thinker, tmp_path, traces, steps=1)
        assert fitted.losses == pytest.approx([_cross_entropy(fitted.students[0], thinker, learnt)], abs=ROUNDED)

    def test_a_step_in_several_passes_has_the_loss_of_one(
        self, student: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("trainer.imitation.TOKENS_A_PASS", 1)
        fitted = fit(student, tmp_path, _examples())
        by_hand = [_cross_entropy(model, student, _examples()) for model in fitted.students]
        assert fitted.losses == pytest.approx(by_hand[:2], abs=ROUNDED)

    def test_rows_without_padding_have_the_loss_of_padded_rows(
        self, student: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As with flash attention on CUDA: trl's collator joins the rows of a pass, and their positions start again.
        monkeypatch.setattr("trainer.imitation.has_flash_attention", lambda: True)
        fitted = fit(student, tmp_path, _examples())
        by_hand = [_cross_entropy(model, student, _examples()) for model in fitted.students]
        assert fitted.losses == pytest.approx(by_hand[:2], abs=ROUNDED)


class TestStepwise:
    @pytest.mark.parametrize("answer_weight", [0.2, 0.7])
    def test_each_step_and_the_answer_have_their_share_of_the_loss(
        self, answer_weight: float, student: str, tmp_path: Path
    ) -> None:
        fitted = fit(student, tmp_path, _examples(), objective="stepwise", answer_weight=answer_weight)
        for loss, model in zip(fitted.losses, fitted.students, strict=False):
            traces = [self._parts(model, student, example) for example in _examples()]
            # A trace counts as often as it has tokens.
            tokens = [sum(map(len, parts)) for parts in traces]
            each = [
                (1 - answer_weight) * (first.mean() + second.mean()) / 2 + answer_weight * answer.mean()
                for first, second, answer in traces
            ]
            by_hand = sum(n * value for n, value in zip(tokens, each, strict=True)) / sum(tokens)
            assert loss == pytest.approx(float(by_hand), abs=ROUNDED)

    def test_an_overlong_example_leaves_the_weights_of_others_unchanged(self, student: str, tmp_path: Path) -> None:
        long = replace(sums(1)[0], text="word " * 100, steps=())
        losses = [
            fit(student, tmp_path / str(len(examples)), examples, objective="stepwise", steps=1).losses
            for examples in (_examples(), [long, *_examples()])
        ]
        assert losses[0] == losses[1]

    def test_the_heavier_part_is_learnt_faster(self, student: str, tmp_path: Path) -> None:
        left = {}
        for weight in (0.02, 0.98):
            last = fit(
                student, tmp_path / str(weight), sums(BATCH), objective="stepwise", answer_weight=weight, steps=6
            ).students[-1]
            parts = [self._parts(last, student, example) for example in sums(BATCH)]
            left[weight] = [sum(float(each[part].mean()) for each in parts) for part in range(3)]
        assert left[0.98][2] < left[0.02][2] - 0.5
        assert left[0.98][0] > left[0.02][0] + 0.5
        assert left[0.98][1] > left[0.02][1] + 0.5

    @staticmethod
    def _parts(model: Any, student: str, example: Example) -> list[Any]:
        """The losses of the tokens of both steps and of the answer. Each token is a byte here."""
        losses = -_of_answer(model, student, example)
        first = len(example.steps[0])
        second = first + len("\n") + len(example.steps[1])
        return [losses[:first], losses[first:second], losses[second:]]


class TestPreference:
    @pytest.mark.parametrize(("beta", "settings"), [(0.5, {"hinge_weight": 3.0}), (50.0, {"hinge_weight": 0.2})])
    def test_the_hinge_is_added_to_the_imitation_of_the_chosen_trace(
        self, beta: float, settings: dict[str, Any], student: str, tmp_path: Path
    ) -> None:
        both = pairs(BATCH)
        fitted = fit(student, tmp_path, both, objective="preference", beta=beta, steps=3, **settings)
        chosen = [example for example in both if example.role == "chosen"]
        gaps = [self._gaps(model, student, both) for model in fitted.students]
        for loss, model, gap in zip(fitted.losses, fitted.students, gaps, strict=False):
            moved = [now - before for now, before in zip(gap, gaps[0], strict=True)]
            hinge = sum(max(0.0, 1 - beta * each) for each in moved) / BATCH
            by_hand = _cross_entropy(model, student, chosen) + settings["hinge_weight"] * hinge
            assert loss == pytest.approx(by_hand, rel=ROUNDED)

    def test_the_hinge_widens_the_gap_beyond_that_of_imitation(self, student: str, tmp_path: Path) -> None:
        both = pairs(BATCH)
        gaps = []
        for weight in (1e-6, 10.0):
            last = fit(
                student, tmp_path / str(weight), both, objective="preference", hinge_weight=weight, steps=4
            ).students[-1]
            gaps.append(sum(self._gaps(last, student, both)))
        assert gaps[1] > gaps[0] + 0.5

    def test_dpo_is_the_logistic_loss_of_how_far_the_gap_moved(self, student: str, tmp_path: Path) -> None:
        both, beta = pairs(BATCH), 2.0
        fitted = fit(student, tmp_path, both, objective="preference", preference="dpo", beta=beta, steps=3)
        gaps = [self._gaps(model, student, both) for model in fitted.students]
        for loss, gap in zip(fitted.losses, gaps, strict=False):
            moved = [now - before for now, before in zip(gap, gaps[0], strict=True)]
            by_hand = sum(math.log1p(math.exp(-beta * each)) for each in moved) / BATCH
            assert loss == pytest.approx(by_hand, abs=0.01)
        means = [sum(gap) / BATCH for gap in gaps]
        assert means[0] < means[1] < means[2] < means[3]

    @staticmethod
    def _gaps(model: Any, student: str, examples: Sequence[Example]) -> list[float]:
        """log p(chosen) − log p(rejected) of each pair."""
        by_role = {
            role: [float(_of_answer(model, student, each).sum()) for each in examples if each.role == role]
            for role in ("chosen", "rejected")
        }
        return [good - bad for good, bad in zip(by_role["chosen"], by_role["rejected"], strict=True)]


class TestLogits:
    WEIGHT, TEMPERATURE = 0.3, 2.0

    def test_the_divergence_of_each_token_is_added_to_its_imitation(self, student: str, tmp_path: Path) -> None:
        examples = [self._taught(student, example, number) for number, example in enumerate(_examples())]
        settings = {"kl_weight": self.WEIGHT, "temperature": self.TEMPERATURE, "teachers": (student,)}
        fitted = fit(student, tmp_path, examples, objective="logits", **settings)
        for loss, model in zip(fitted.losses, fitted.students, strict=False):
            tokens = [value for example in examples for value in self._losses(model, student, example)]
            assert loss == pytest.approx(sum(tokens) / len(tokens), abs=ROUNDED)

    def test_the_divergence_falls(self, student: str, tmp_path: Path) -> None:
        examples = [self._taught(student, example, number) for number, example in enumerate(_examples())]
        settings = {"kl_weight": 1.0, "teachers": (student,), "steps": 5}
        fitted = fit(student, tmp_path, examples, objective="logits", **settings)
        apart = [
            sum(kl for example in examples for kl in self._divergences(model, student, example, 1.0))
            for model in fitted.students
        ]
        assert apart == sorted(apart, reverse=True)
        assert apart[-1] < 0.95 * apart[0]

    def _losses(self, model: Any, student: str, example: Example) -> Iterator[float]:
        divergences = self._divergences(model, student, example, self.TEMPERATURE)
        for logprob, kl in zip(_of_answer(model, student, example).tolist(), [*divergences, None], strict=False):
            # Text that is not the teacher's is only imitated.
            weight = 0 if kl is None else self.WEIGHT
            yield -(1 - weight) * logprob + weight * self.TEMPERATURE**2 * (kl or 0.0)

    @staticmethod
    def _divergences(model: Any, student: str, example: Example, temperature: float) -> list[float]:
        """KL(teacher ‖ student) on the teacher's two likeliest tokens and all others, at the temperature."""
        from tracemill.logprobs import decode

        top = decode(example.logprobs or b"")
        expected = all_logprobs(model, *read(student, example.question, example.text)).exp().tolist()
        divergences = []
        for ids, logprobs, probabilities in zip(top.ids, top.logprobs, expected, strict=False):
            teacher = [math.exp(value) for value in logprobs]
            pupil = [probabilities[token] for token in ids]
            both = [[*each, 1 - sum(each)] for each in (teacher, pupil)]
            softened = [[value ** (1 / temperature) for value in each] for each in both]
            p, q = ([value / sum(each) for value in each] for each in softened)
            divergences.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
        return divergences

    @staticmethod
    def _taught(student: str, example: Example, number: int) -> Example:
        """Add a teacher that is more certain at each token than before; every second one did not end its turn."""
        _, ids = read(student, example.question, example.text)
        written = ids[:-1] if number % 2 else ids
        sure = [0.3 + 0.6 * index / len(ids) for index in range(len(ids))]
        places = (
            (token, {token: math.log(each), (token + 5) % 200: math.log(0.7 * (1 - each))})
            for token, each in zip(written, sure, strict=False)
        )
        return replace(example, logprobs=encode(TopK.of(places)))


class TestFeatures:
    LAYERS = ((1, 2), (2, 1))

    @pytest.mark.parametrize("distance", ["mse", "cosine"])
    def test_the_distance_from_the_teachers_states_is_added_to_imitation(
        self, distance: str, student: str, teacher: str, tmp_path: Path
    ) -> None:
        examples, weight = _examples(), 3.0
        settings = {"layers": self.LAYERS, "distance": distance, "feature_weight": weight, "teachers": (teacher,)}
        fitted = fit(student, tmp_path, examples, objective="features", steps=1, **settings)
        base = fitted.students[0]
        # Between equal widths the projection starts as the identity.
        apart = [self._distances(base, load(teacher), student, example, distance) for example in examples]
        by_hand = _cross_entropy(base, student, examples) + weight * self._mean(apart)
        assert fitted.losses == pytest.approx([by_hand], rel=ROUNDED)

    def test_the_distance_falls(self, student: str, wide: str, tmp_path: Path) -> None:
        weight = 1000.0
        settings = {"layers": self.LAYERS, "feature_weight": weight, "teachers": (wide,), "steps": 5}
        fitted = fit(student, tmp_path, _examples(), objective="features", **settings)
        apart = [
            (loss - _cross_entropy(model, student, _examples())) / weight
            for loss, model in zip(fitted.losses, fitted.students, strict=False)
        ]
        assert apart == sorted(apart, reverse=True)
        assert 0 < apart[-1] < apart[0]

    def test_the_projections_are_learnt_beside_the_adapter(self, student: str, wide: str, tmp_path: Path) -> None:
        import torch

        from trainer.objectives.features import projection

        settings = {"layers": self.LAYERS, "teachers": (wide,), "checkpoint_seconds": 1e-9}
        fit(student, tmp_path, _examples(), objective="features", **settings)
        beside = torch.load(tmp_path / "checkpoints" / "checkpoint-1" / "beside.pt", weights_only=True)
        moved = [(value - projection(32, 48, index).weight).abs().max() for index, value in enumerate(beside.values())]
        assert len(moved) == len(self.LAYERS)
        assert min(moved) > 1e-3

    @staticmethod
    def _mean(values: Sequence[Any]) -> float:
        import torch

        return float(torch.cat(list(values)).mean())

    def _distances(self, model: Any, teacher: Any, student: str, example: Example, kind: str) -> Any:
        """The distance at each token of the answer, from the token before: the mean of both pairs of layers."""
        import torch

        prompt, answer = read(student, example.question, example.text)
        ids = torch.tensor([[*prompt, *answer]])
        with torch.no_grad():
            ours, its = (each(input_ids=ids, output_hidden_states=True).hidden_states[:] for each in (model, teacher))
        distances = []
        for here, there in self.LAYERS:
            a, b = (states[0, len(prompt) - 1 : -1] for states in (ours[here], its[there]))
            if kind == "mse":
                distances.append(((a - b) ** 2).sum(-1) / (b**2).sum(-1))
            else:
                distances.append(1 - (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)))
        return torch.stack(distances).mean(0)
