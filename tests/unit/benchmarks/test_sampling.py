"""What the sampling benchmark says was saved and kept: tokens, not traces, of a replay worked out by hand."""

import pytest

from benchmarks.sampling import Question, compared, mixed

#: Two accepted at once; none; two at the end, so that giving nothing up takes all eight.
EASY = Question([True, True] + [False] * 6, [10, 30] + [100] * 6)
NEVER = Question([False] * 8, [5] * 8)
LATE = Question([False] * 6 + [True, True], [50] * 8)


def test_tokens_saved_weigh_each_trace_by_its_length() -> None:
    figures = compared("x", [EASY, NEVER])
    # Of 640 and 40 tokens stopping takes the first 40 and all 40.
    assert figures["x_tokens_saved"] == pytest.approx(1 - 80 / 680)
    assert figures["x_yield_kept"] == 1.0
    assert figures["x_visits"] == (1 + 4) / 2


def test_whole_batches_take_what_is_more_than_needed() -> None:
    # With one accepted of two, one more is needed: alone it is not accepted, a whole batch takes a fourth along.
    early = Question([True, False, True, True, False, False, False, False], [10] * 8)
    figures = compared("x", [early])
    assert figures["x_tokens_saved"] == pytest.approx(5 / 8)
    assert figures["x_tokens_saved_whole_batches"] == pytest.approx(4 / 8)
    assert (figures["x_visits"], figures["x_visits_whole_batches"]) == (2, 2)


def test_yield_kept_counts_questions_with_two_accepted_traces() -> None:
    # Forty hopeless questions teach the prior that a question like LATE will not get there: it is given up.
    figures = compared("x", [*[NEVER] * 40, LATE, EASY])
    assert (figures["x_yield_kept"], figures["x_yield_kept_whole_batches"]) == (1.0, 1.0)
    assert figures["x_yield_kept_giving_up_0.1"] == pytest.approx(1 / 2)
    assert figures["x_tokens_saved_giving_up_0.1"] > figures["x_tokens_saved"]


def test_one_accepted_trace_is_no_yield() -> None:
    once = Question([True] + [False] * 7, [1] * 8)
    assert compared("x", [once])["x_yield_kept"] == 0.0


def test_thirds_are_of_the_questions_that_have_an_accepted_trace() -> None:
    def accepted(count: int) -> Question:
        return Question([True] * count + [False] * (8 - count), [1] * 8)

    figures = mixed("x", [accepted(8), accepted(0), accepted(1), accepted(3)])
    # All samples: 1 + 3 + 8 accepted; stopping at two: 1 + 2 + 2.
    assert (figures["x_hard_third_fixed"], figures["x_easy_third_fixed"]) == (1 / 12, 8 / 12)
    assert (figures["x_hard_third"], figures["x_easy_third"]) == (1 / 5, 2 / 5)
