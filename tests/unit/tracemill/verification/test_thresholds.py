"""Thresholds of gates: a precision or a quantile becomes a number, or the reason why it cannot."""

import pytest

from tracemill.policy import Gate, Threshold
from tracemill.verification.calibration import Measured, Rated, measure, threshold


def known_judge() -> Measured:
    """200 traces in ten bins of 20: the upper five are right, a bin below them half, and the lowest four wrong."""
    return measure([Rated(n >= 100 or (80 <= n < 100 and n % 2 == 0), {"rating": n / 200}) for n in range(200)])[0]


def test_a_precision_takes_the_lowest_threshold_whose_interval_lies_above_it() -> None:
    assert threshold(known_judge(), Gate(precision=0.95)) == Threshold(
        0.5, pytest.approx((1.0, 0.963, 1.0), abs=1e-3), pytest.approx((0.909, 0.841, 0.950), abs=1e-3)
    )
    # Among 120 traces 110 are right, and their share begins at 0.853. Among 140 it begins at 0.711.
    lower = threshold(known_judge(), Gate(precision=0.85))
    assert isinstance(lower, Threshold)
    assert (lower.least, lower.precision.value, lower.kept.value) == (0.4, pytest.approx(110 / 120), 1.0)


def test_a_quantile_takes_the_highest_threshold_that_keeps_enough_right_traces() -> None:
    for quantile, least in ((0.05, 0.4), (0.1, 0.5), (0.3, 0.6)):
        chosen = threshold(known_judge(), Gate(quantile=quantile))
        assert isinstance(chosen, Threshold)
        assert chosen.least == pytest.approx(least)
        assert 1 - chosen.kept.value <= quantile


def test_a_precision_that_no_threshold_surely_has_is_a_sentence() -> None:
    assert threshold(known_judge(), Gate(precision=0.97)) == (
        "110 right traces are too few labels for a precision of 0.97: at least 125 are needed"
    )
    mediocre = measure([Rated(n < 100, {"rating": 0.9 if n < 60 or n >= 160 else 0.1}) for n in range(190)])[0]
    assert threshold(mediocre, Gate(precision=0.9)) == (
        "no threshold surely has a precision of 0.9: at 0.90 it is 0.67 [0.56, 0.76]"
    )
