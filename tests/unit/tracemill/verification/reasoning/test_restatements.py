"""The share of sentences that repeat the question or an earlier sentence."""

import time

import pytest

from tracemill.verification.reasoning.restatements import repeated_sentences, restatements

QUESTION = "Ann has 3 bags of 4 apples. How many apples does she have?"


@pytest.mark.parametrize(
    ("steps", "share"),
    [
        (["She has three bags with four apples each.", "So 3 * 4 = 12."], 0.0),
        (["Ann has 3 bags of 4 apples.", "So 3 * 4 = 12."], 0.5),
        (["**ann has 3 bags of 4 apples!**", "So 3 * 4 = 12."], 0.5),
        (["So 3 * 4 = 12. So 3 * 4 = 12.", "So 3 * 4 = 12."], 2 / 3),
        (["Ann has 3 bags of 5 apples.", "So 3 * 4 = 12."], 0.0),
        (["Wait.", "12."], None),
        ([], None),
    ],
)
def test_sentences_that_repeat_earlier_ones_are_counted(steps: list[str], share: float | None) -> None:
    assert restatements(QUESTION, steps) == share


def test_without_a_question_the_trace_is_compared_with_itself() -> None:
    assert restatements(None, ["Ann has 3 bags of 4 apples.", "Ann has 3 bags of 4 apples."]) == 0.5


def test_100000_repetitions_are_counted_in_under_five_seconds() -> None:
    start = time.process_time()
    share = restatements(None, ["I must check this once more. " * 100_000])
    assert share == pytest.approx(1, abs=1e-4)
    assert time.process_time() - start < 5


def test_a_repeated_sentence_is_named_with_its_step() -> None:
    steps = ["Ann has 3 bags of 4 apples.", "So she is rich. Ann **has** 3 bags of 4 apples!"]
    assert list(repeated_sentences(None, steps)) == [(1, "Ann **has** 3 bags of 4 apples!")]
    assert [step for step, _ in repeated_sentences(steps[0], steps)] == [0, 1]
