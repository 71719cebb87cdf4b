"""Reasonings made worse, taking the answer out of a reasoning, and when two short answers are the same."""

import re

import pytest

from tracemill.verification.judge.corruption import corrupted, without_answer
from tracemill.verification.judge.forced_answer import meaning

STEPS = ("3 + 4 = 7.", "7 - 5 = 2.", "2 is even.")


@pytest.mark.parametrize("steps", [STEPS, ("3 + 4 = 7.",), ("The sky is blue because air scatters light.",)])
def test_corrupted_reasonings_differ_from_the_intact_one_and_from_each_other(steps: tuple[str, ...]) -> None:
    variants = corrupted(steps)
    assert 1 < len(variants) <= 4
    assert list(steps) not in variants
    assert len({tuple(variant) for variant in variants}) == len(variants)
    assert variants == corrupted(list(steps))


def test_half_of_the_corrupted_reasonings_are_cut_short_and_half_end_in_a_wrong_number() -> None:
    steps = [f"{n} + {n} = {2 * n}, that is sum {n}." for n in range(1, 9)]
    short = [variant for variant in corrupted(steps) if variant == steps[: len(variant)]]
    mistaken = [variant for variant in corrupted(steps) if variant not in short]
    assert len(short) == len(mistaken) == 2
    for *before, last in mistaken:
        assert before == steps[: len(before)]
        assert last != steps[len(before)]
        assert re.sub(r"= \d+", "", last) == re.sub(r"= \d+", "", steps[len(before)])


def test_nothing_can_be_made_worse_than_nothing() -> None:
    assert corrupted([]) == []


@pytest.mark.parametrize(
    ("steps", "answer", "left"),
    [
        (["3 + 4 = 7.", "The answer is 7."], "7", ["3 + 4 = 7."]),
        (["3 + 4 = 7. So the final answer is: **7**."], "7", ["3 + 4 = 7."]),
        (["Add to get $3+4=\\boxed{7}$."], "7", ["Add to get $3+4=…$."]),
        (["\\boxed{\\frac{1}{2}}"], "\\frac{1}{2}", []),
        (["3+4=7\n#### 7"], "7", ["3+4=7"]),
        (["3+4=7", "7"], "7", ["3+4=7"]),
        (["To find the answer: add.", "Answer: Paris"], "Paris", ["To find the answer: add."]),
        (["The answer is unknown so far."], "7", ["The answer is unknown so far."]),
        (["\\boxed{" * 50], "7", ["…"]),
    ],
)
def test_the_final_answer_is_taken_out_of_a_reasoning(steps: list[str], answer: str, left: list[str]) -> None:
    assert [step for step in without_answer(steps, answer) if step.strip("…")] == [s for s in left if s.strip("…")]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("7", "The answer is 7.", True),
        ("$1,200", "1200", True),
        ("1/2", "0.5", True),
        ("x = 3/6", "\\boxed{0.5}", True),
        ("42 apples", "**42**", True),
        ("<think>8? no</think>\n7", "7", True),
        ("Paris.", "the answer is paris", True),
        ("5%", "5", False),
        ("-5", "5", False),
        ("−5", "-5", True),
        ("Paris", "Lyon", False),
        ("7", "70", False),
        ("1/0", "2/0", False),
        ("", "7", False),
        ("9" * 5000, "9" * 4999, True),  # cut: both are no answers
    ],
)
def test_answers_are_equal_by_exact_value_or_plain_text(one: str, other: str, same: bool) -> None:
    assert (meaning(one) == meaning(other)) is same
