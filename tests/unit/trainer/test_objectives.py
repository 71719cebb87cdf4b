"""The weights, matches and divergences of the objectives, on small numbers."""

import math

import pytest

from tests.lessons import pairs, sums
from tracemill.errors import TracemillError, UsageError
from tracemill.logprobs import TopK, encode
from trainer.fit_spec import FitSpec
from trainer.objectives import find
from trainer.objectives.features import distance, evenly, projection
from trainer.objectives.logits import collate, divergence
from trainer.objectives.preference import Pair
from trainer.objectives.preference import pairs as matched
from trainer.objectives.stepwise import ends, weights
from trainer.rows import IGNORED, Row


def test_an_unknown_objective_is_answered_with_those_there_are() -> None:
    with pytest.raises(
        UsageError, match="features, gold, grpo, logits, on_policy, preference, self_distill, sft, stepwise"
    ):
        find("telepathy")


def test_the_registry_knows_the_needs_of_each_objective() -> None:
    for objective in (find("sft"), find("stepwise")):
        assert (objective.pairs, objective.logprobs, objective.teacher) == (False, False, False)
    assert find("preference").pairs
    assert find("logits").logprobs
    assert find("features").teacher
    own = [find(name) for name in ("on_policy", "self_distill", "gold", "grpo")]
    assert all(objective.logprobs and objective.learns_own_words for objective in own)
    assert [objective.rewards for objective in own] == [False, False, False, True]
    assert not any(find(name).learns_own_words for name in ("sft", "logits", "features"))


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be shared by 3 processes"):
        FitSpec(batch_size=16, processes=3)


class TestStepwise:
    def test_the_text_after_the_last_step_is_the_answer(self) -> None:
        example = sums(1)[0]
        first, second = ends(example.text, example.steps)
        assert example.text[:first] == "There are 0 and 7."
        assert example.text[first:second] == "\n0 + 7 = 7."
        assert example.text[second:] == "\nThe answer is 7."

    def test_a_last_step_that_gives_the_answer_is_the_answer(self) -> None:
        assert ends("One.\nSo it is 2.", ("One.", "So it is 2.")) == [4]

    @pytest.mark.parametrize("steps", [(), ("not in the text",)])
    def test_a_trace_without_steps_is_split_by_lines(self, steps: tuple[str, ...]) -> None:
        assert ends("One.\n\nTwo.\nIt is 3.", steps) == [5, 11]

    def test_steps_of_any_length_weigh_the_same_and_the_answer_as_configured(self) -> None:
        token_weights = weights(starts=[0, 1, 2, 3, 4, 10, 20, 25], ends=[10, 20], answer=0.4)
        assert sum(token_weights) == pytest.approx(8)
        parts = sum(token_weights[:5]) / 8, token_weights[5] / 8, sum(token_weights[6:]) / 8
        assert parts == pytest.approx((0.3, 0.3, 0.4))

    def test_an_answer_without_steps_is_learnt_as_it_is(self) -> None:
        assert weights(starts=[0, 3, 9], ends=[], answer=0.4) == [1, 1, 1]


class TestPreference:
    def test_a_pair_shares_its_position(self) -> None:
        matches = matched(pairs(3))
        assert [(good.role, bad.role) for good, bad in matches] == [("chosen", "rejected")] * 3
        assert all(good.question == bad.question and good.text != bad.text for good, bad in matches)

    def test_half_a_pair_is_refused(self) -> None:
        with pytest.raises(TracemillError, match="position 2 has only: chosen"):
            matched(pairs(3)[:-1])

    @pytest.mark.parametrize(("chosen", "rejected"), [(3, 9), (9, 3)])
    def test_a_pair_is_as_long_as_its_longer_trace(self, chosen: int, rejected: int) -> None:
        assert Pair(Row([1, 1], [2] * chosen), Row([1, 1], [2] * rejected), 0).tokens == 11


class TestLogits:
    def test_a_student_equal_to_its_teacher_has_no_loss(self) -> None:
        import torch

        logits = torch.randn(5, 11)
        top = logits.log_softmax(-1).topk(3)
        for temperature in (1.0, 2.0):
            assert divergence(logits, top.indices, top.values, temperature).abs().max() < 1e-5

    def test_full_log_probabilities_give_the_exact_divergence(self) -> None:
        import torch

        teacher, student = torch.randn(2, 4, 6).log_softmax(-1)
        ids = torch.arange(6).expand(4, 6)
        # The last token counts as "any other".
        result = divergence(student, ids[:, :5], teacher[:, :5], 1.0)
        torch.testing.assert_close(result, (teacher.exp() * (teacher - student)).sum(-1), atol=1e-5, rtol=1e-4)

    def test_stored_log_probabilities_align_with_their_tokens(self) -> None:
        long = TopK.of([(5, {5: -0.5, 6: -1.0, 7: -2.0}), (8, {8: -0.25})])
        short = TopK.of([(9, {9: -0.5})])
        rows = [
            {"input_ids": [1, 2, 5, 8, 3], "labels": [IGNORED, IGNORED, 5, 8, 3], "logprobs": encode(long)},
            {"input_ids": [1, 9], "labels": [IGNORED, 9], "logprobs": encode(short)},
        ]
        batch = collate(rows)
        assert batch["teacher_known"].tolist() == [[0, 0, 1, 1, 0], [0, 1, 0, 0, 0]]
        assert batch["teacher_ids"].shape == (2, 5, 3)
        assert batch["teacher_ids"][0, 2:4].tolist() == [[5, 6, 7], [8, 0, 0]]
        assert batch["teacher_ids"][1, 1].tolist() == [9, 0, 0]
        none = -math.inf
        assert batch["teacher_logprobs"][0, 1:4].tolist() == [[none] * 3, [-0.5, -1.0, -2.0], [-0.25, none, none]]
        assert batch["teacher_logprobs"][1, 1].tolist() == [-0.5, none, none]

    def test_tokens_without_stored_log_probabilities_are_only_imitated(self) -> None:
        top = TopK((5, 8), ((), (8,)), ((), (-0.25,)))
        batch = collate([{"input_ids": [1, 5, 8, 3], "labels": [IGNORED, 5, 8, 3], "logprobs": encode(top)}])
        assert batch["teacher_known"].tolist() == [[0, 0, 1, 0]]
        assert batch["teacher_ids"].tolist() == [[[0], [0], [8], [0]]]

    def test_ragged_rows_and_probabilities_rounded_above_one_are_accepted(self) -> None:
        import torch

        logits = torch.randn(2, 6, requires_grad=True)
        ids = torch.tensor([[0, 3], [2, 0]])
        logprobs = torch.tensor([[0.0, math.log(0.01)], [math.log(0.6), -torch.inf]])
        result = divergence(logits, ids, logprobs, 2.0)
        result.sum().backward()
        assert torch.isfinite(result).all()
        assert torch.isfinite(logits.grad).all()
        # Token 0 of the second position is unknown: it is one of the others.
        probability = logits.detach()[1].softmax(-1)
        other = (1 - probability[2]) ** 0.5 / (probability[2] ** 0.5 + (1 - probability[2]) ** 0.5)
        expected = 0.4**0.5 / (0.6**0.5 + 0.4**0.5)
        by_hand = expected * math.log(expected / other) + (1 - expected) * math.log((1 - expected) / (1 - other))
        assert result[1].item() == pytest.approx(by_hand, abs=1e-5)


class TestFeatures:
    def test_layers_are_matched_at_the_ends_of_equal_parts(self) -> None:
        assert evenly(12, 32) == ((3, 8), (6, 16), (9, 24), (12, 32))
        assert evenly(2, 3) == ((1, 2), (2, 3))

    @pytest.mark.parametrize("kind", ["mse", "cosine"])
    def test_equal_states_have_no_distance_at_any_size(self, kind: str) -> None:
        import torch

        states = 1000 * torch.randn(4, 8)
        assert distance(projection(8, 8, 0)(states), states, kind).abs().max() < 1e-5
        assert distance(-states, states, kind).min() > 1

    def test_a_projection_between_widths_is_the_same_for_the_same_seed(self) -> None:
        import torch

        assert projection(8, 12, 3)(torch.ones(1, 8)).shape == (1, 12)
        assert torch.equal(projection(8, 12, 3).weight, projection(8, 12, 3).weight)
