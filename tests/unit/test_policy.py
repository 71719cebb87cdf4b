"""The policy: what makes a trace accepted."""

import pytest

from tracemill.policy import Policy

GOOD = {"correct": True, "equations_false": 0}


def test_a_right_answer_in_the_asked_form_with_no_false_equation_is_accepted() -> None:
    assert Policy().accepts(GOOD, stated=True)


@pytest.mark.parametrize(
    ("verdict", "stated"),
    [
        (GOOD | {"correct": False}, True),
        (GOOD | {"correct": None}, True),
        (GOOD | {"equations_false": 1}, True),
        (GOOD, False),
    ],
    ids=["wrong answer", "undecided answer", "false equation", "answer guessed from the last number"],
)
def test_a_trace_that_misses_one_requirement_is_not(verdict: dict[str, object], stated: bool) -> None:
    assert not Policy().accepts(verdict, stated=stated)


def test_a_requirement_can_be_dropped() -> None:
    assert Policy(equations=False).accepts(GOOD | {"equations_false": 3}, stated=True)


def test_the_judge_rates_about_the_share_of_questions_it_was_given_and_always_the_same_ones() -> None:
    policy = Policy(judge="verifier", judge_share=0.1)
    rated = [number for number in range(10_000) if policy.judges(number)]
    assert 900 < len(rated) < 1100
    assert rated == [number for number in range(10_000) if policy.judges(number)]


def test_without_a_judge_nothing_is_rated() -> None:
    assert not Policy().judges(1)
