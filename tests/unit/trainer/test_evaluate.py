"""pass@k and majority@k of several samples, by hand."""

from fractions import Fraction

import pytest

from trainer.evaluate import of_samples

RIGHT, WRONG = ("7", True), ("8", False)


def test_several_samples_are_measured_at_powers_of_two_and_at_their_number() -> None:
    for samples, steps in ((1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])):
        measures = of_samples([[RIGHT] * samples], samples)
        assert [list(by_k) for by_k in measures.values()] == [steps, steps]


def test_pass_at_k_is_the_chance_that_one_of_k_samples_is_right() -> None:
    # Of 4 samples, 1 and 3 are right.
    measures = of_samples([[RIGHT, WRONG, WRONG, WRONG], [RIGHT, RIGHT, RIGHT, WRONG]], 4)["pass_at"]
    assert measures == pytest.approx({1: float(Fraction(1, 2)), 2: float(Fraction(3, 4)), 4: 1})


def test_a_missing_sample_is_wrong() -> None:
    assert of_samples([[RIGHT], []], 4)["pass_at"] == pytest.approx({1: 1 / 8, 2: 1 / 4, 4: 1 / 2})


def test_the_majority_at_k_is_that_of_the_first_k() -> None:
    measures = of_samples([[RIGHT, RIGHT, WRONG, WRONG, WRONG]], 5)["majority_at"]
    assert measures == {1: 1, 2: 1, 4: pytest.approx(0.5), 5: 0}
