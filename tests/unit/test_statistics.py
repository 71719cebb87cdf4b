"""Intervals: known values, and what happens at the edges."""

import pytest

from tracemill.statistics import auc, share


def test_a_share_has_wilsons_interval() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263 -> 0.2553 to 0.3662
    assert share(81, 263) == pytest.approx((0.30798, 0.2553, 0.3662), abs=1e-4)


def test_nothing_asked_means_nothing_known() -> None:
    assert share(0, 0) == (0.0, 0.0, 1.0)


def test_a_perfect_judge_has_auc_one_and_a_useless_one_a_half() -> None:
    perfect = auc([0.9, 0.8], [0.1, 0.2])
    useless = auc([0.5] * 40, [0.5] * 40)
    assert perfect is not None
    assert perfect.value == 1.0
    assert useless is not None
    assert useless.value == 0.5
    assert useless.low < 0.5 < useless.high


def test_auc_counts_ties_as_half() -> None:
    found = auc([1, 2, 3], [2, 2, 0])
    assert found is not None
    # pairs won: 1>0; 2>0 and two ties; 3 beats all three = 1 + 1 + 2 * 0.5 + 3 = 6 of 9
    assert found.value == pytest.approx(6 / 9)


def test_auc_of_one_sided_evidence_is_unknown() -> None:
    assert auc([1.0], []) is None
